"""The part of the client that is about jobs: submit, look, wait, change, explain."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pilot.views import (
    AttemptPage,
    AttemptView,
    ExplainReply,
    ExplainRequest,
    JobDetail,
    JobExplanation,
    JobPage,
    JobRange,
    JobVerb,
    JobView,
    Selection,
    SubmitReply,
    SubmitRequest,
    VerbReply,
    VerbRequest,
    VerbResult,
)
from pilotage import files, inputs
from pilotage.asking import Asking, joined
from pilotage.transport import Request
from pilotage.waiting import Counts, wait_for

#: Which jobs: their ids, or everything that fits a selection.
Which = Iterable[int] | Selection
#: Jobs of one page; the central gives up to 10,000.
PAGE = 500
EVERY_JOB = Selection()


@dataclass(frozen=True)
class Submission:
    """What a submission became: a range of ids for each document, in order."""

    jobs: tuple[JobRange, ...]
    warnings: tuple[str, ...] = ()  # as: no configured queue can ever satisfy jobs[0]
    uploaded: int = 0  # input files that the central did not have yet

    @property
    def ids(self) -> tuple[int, ...]:
        """Every job, in the order of the documents and their sweeps."""
        return tuple(job for each in self.jobs for job in range(each.first, each.first + each.count))


class JobsPart(Asking):
    """Everything about jobs but what they print and write."""

    def submit(
        self,
        documents: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        base: str | Path = ".",
        *,
        key: str | None = None,
        progress: files.Progress | None = None,
    ) -> Submission:
        """Submit one job document or several, all or nothing; `docs/job-file.md` says what they hold.

        Inputs are looked for in `base`, and sent unless the central has them. `progress` is told bytes done and in all.
        `key` makes a second submission with the same key the first one; each call has its own otherwise. Raises
        `InvalidJob` with every problem found here, or `Refusal`.
        """
        listed = [documents] if isinstance(documents, Mapping) else list(documents)
        return self.submit_prepared(inputs.prepare(listed, Path(base)), key=key, progress=progress)

    def submit_prepared(
        self, prepared: inputs.Prepared, *, key: str | None = None, progress: files.Progress | None = None
    ) -> Submission:
        """Submit what `pilotage.inputs.prepare` made, perhaps of several folders."""
        uploaded = files.upload(self._transport, list(prepared.files), progress)
        body = msgspec.json.encode(SubmitRequest(tuple(dict(one) for one in prepared.documents)))
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        reply = self._transport.ask(SubmitReply, Request("POST", "/v1/jobs", body=body, headers=headers))
        return Submission(reply.jobs, reply.warnings, uploaded)

    def job(self, job: int) -> JobDetail:
        """One job whole."""
        return self._get(JobDetail, f"/v1/jobs/{job}")

    def jobs(self, selection: Selection = EVERY_JOB) -> Iterator[JobView]:
        """All jobs that fit, newest first, fetched page by page."""
        cursor: str | None = None
        while True:
            page = self.job_page(selection, cursor=cursor, limit=PAGE)
            yield from page.jobs
            if not (cursor := page.next):
                return

    def job_page(
        self,
        selection: Selection = EVERY_JOB,
        *,
        cursor: str | None = None,
        limit: int = 100,
        counts: bool = False,
    ) -> JobPage:
        """One page of jobs, newest first; `counts` asks for the number in each state of the whole selection as well."""
        query = {
            "ids": joined(selection.ids),
            "states": joined(state.value for state in selection.states),
            "owner": selection.owner,
            "group": selection.group,
            "name": selection.name,
            "community": selection.community,
            "site": selection.site,
            "queue": selection.queue,
            "submitted_since": None if selection.submitted_since is None else repr(selection.submitted_since),
            "cursor": cursor,
            "limit": limit,
            "counts": "true" if counts else None,
        }
        return self._get(JobPage, "/v1/jobs", query)

    def attempts(self, job: int) -> tuple[AttemptView, ...]:
        """Every attempt of a job in order, with its history, its usage and its last words."""
        return self._get(AttemptPage, f"/v1/jobs/{job}/attempts").attempts

    def wait(
        self, ids: Iterable[int], timeout: float | None = None, progress: Callable[[Counts], None] | None = None
    ) -> tuple[JobView, ...]:
        """Wait until all these jobs are done, failed or killed, and return them in the order asked for.

        `progress` is told how many jobs are in which state, each time that somebody looked. Raises `StillRunning` after
        `timeout` seconds. A held job is waited for, since somebody may release it.
        """
        return wait_for(lambda some: self._these(some), tuple(ids), timeout, progress, self._clock)

    def _these(self, ids: Sequence[int]) -> tuple[JobView, ...]:
        return self.job_page(Selection(ids=tuple(ids)), limit=max(1, len(ids))).jobs

    def kill(self, which: Which, reason: str = "") -> tuple[VerbResult, ...]:
        """End jobs for good. One result a job says whether it was changed, and if not, why."""
        return self._change("kill", which, reason)

    def hold(self, which: Which, reason: str = "") -> tuple[VerbResult, ...]:
        """Keep waiting jobs back."""
        return self._change("hold", which, reason)

    def release(self, which: Which, reason: str = "") -> tuple[VerbResult, ...]:
        """Let held jobs wait again."""
        return self._change("release", which, reason)

    def reschedule(self, which: Which, reason: str = "") -> tuple[VerbResult, ...]:
        """Submit jobs that have ended once more, as new jobs whose `parent` they are."""
        return self._change("reschedule", which, reason)

    def set_priority(self, which: Which, priority: int, reason: str = "") -> tuple[VerbResult, ...]:
        """Change the priority of jobs that have not ended: 0 (only when idle) to 10."""
        return self._change("priority", which, reason, priority)

    def _change(self, verb: JobVerb, which: Which, reason: str, priority: int | None = None) -> tuple[VerbResult, ...]:
        selection = which if isinstance(which, Selection) else Selection(ids=tuple(which))
        body = msgspec.json.encode(VerbRequest(selection, priority, reason))
        # A second reschedule would make a second job.
        request = Request("POST", f"/v1/jobs/{verb}", body=body, repeatable=verb != "reschedule")
        return self._transport.ask(VerbReply, request).results

    def explain_job(self, job: int) -> JobExplanation:
        """Why a job waits."""
        return self._get(JobExplanation, f"/v1/jobs/{job}/explain")

    def explain_jobs(self, which: Which, *, limit: int = 5000, cursor: str | None = None) -> ExplainReply:
        """Why jobs wait, those with one reason together; of a selection the newest, at most so many in one call.

        `cursor` is `next` of the reply before, for those after these.
        """
        selection = which if isinstance(which, Selection) else Selection(ids=tuple(which))
        body = msgspec.json.encode(ExplainRequest(selection, limit, cursor))
        return self._transport.ask(ExplainReply, Request("POST", "/v1/jobs/explain", body=body))
