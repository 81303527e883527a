"""What people ask of jobs: lists, one, its attempts and outputs, why it waits; and what they do to them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from central.events import MAX_BEHIND, JobChanged
from central.explanations import explaining
from central.records import Identity
from central.routes import jobs_audited
from central.serving.http import Call, Route
from central.serving.journal import in_a_line
from central.trust.rules import Who, community_of, may_change_job
from pilot.errors import InvalidInput, Refusal
from pilot.states import JobState
from pilot.views import (
    AttemptPage,
    ExplainReply,
    ExplainRequest,
    JobDetail,
    JobExplanation,
    JobOutputs,
    JobPage,
    JobVerb,
    Selection,
    VerbReply,
    VerbRequest,
    VerbResult,
)

log = logging.getLogger(__name__)

MAX_PAGE = 10_000
_VERBS: tuple[JobVerb, ...] = ("kill", "hold", "release", "reschedule", "priority")
_CURSOR = re.compile(r"[\w.:=-]{1,200}")


@dataclass(frozen=True)
class JobsQuery:
    """Which jobs; all that fit every field given. `counts` asks for the number in each state as well."""

    ids: tuple[int, ...] = ()
    states: tuple[JobState, ...] = ()
    owner: str | None = None
    group: str | None = None
    name: str | None = None
    community: str | None = None
    site: str | None = None
    queue: str | None = None
    submitted_since: float | None = None
    cursor: str | None = None
    limit: int = 100
    counts: bool = False


@dataclass(frozen=True)
class AttemptQuery:
    """Which attempt; the newest when absent."""

    attempt: int | None = None


async def page(call: Call[None]) -> JobPage:
    """A page of jobs, newest first."""
    query = call.query(JobsQuery)
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidInput("limit", f"expected 1 to {MAX_PAGE}, got {query.limit}")
    _check_cursor(query.cursor)
    if query.submitted_since is not None and not math.isfinite(query.submitted_since):
        raise InvalidInput("submitted_since", f"expected seconds since the epoch, got {query.submitted_since}")
    named = Selection(
        query.ids,
        query.states,
        query.owner,
        query.group,
        query.name,
        query.community,
        query.site,
        query.queue,
        query.submitted_since,
    )
    community, selection = _scope(call.person, named)
    return await call.central.store.jobs(community, selection, query.cursor, query.limit, query.counts)


async def one(call: Call[None]) -> JobDetail:
    """One job."""
    return await call.central.store.job(community_of(call.person), call.number("job"))


async def attempts(call: Call[None]) -> AttemptPage:
    """Its attempts, with their history."""
    community = community_of(call.person)
    await call.central.store.job(community, call.number("job"))
    return AttemptPage(await call.central.store.attempts(community, call.number("job")))


async def outputs(call: Call[None]) -> JobOutputs:
    """What an attempt brought home."""
    wanted = call.query(AttemptQuery).attempt
    community, job = community_of(call.person), call.number("job")
    await call.central.store.job(community, job)
    for view in reversed(await call.central.store.attempts(community, job)):
        if wanted is None or view.attempt == wanted:
            return JobOutputs(view.attempt, view.outputs, view.undelivered)
    raise Refusal("not-found", f"job {job} has had no {f'attempt {wanted}' if wanted else 'attempt'} yet")


async def change(call: Call[VerbRequest]) -> VerbReply:
    """Kill, hold, release, reschedule or re-prioritise jobs, with one result a job."""
    central, request, person = call.central, call.message, call.person
    verb = next((known for known in _VERBS if known == call.text("verb")), None)
    if verb is None:
        raise Refusal("not-found", f"expected one of {', '.join(_VERBS)}, got {call.text('verb')}")
    community, wanted = _scope(person, request.selection)
    if wanted == Selection():
        raise InvalidInput(
            "selection", "expected `ids`, or a field that the jobs must fit: an empty one does not mean all"
        )
    if verb == "priority" and (request.priority is None or not 0 <= request.priority <= 10):
        raise InvalidInput("priority", f"expected a whole number from 0 to 10, got {request.priority}")
    selection, refused = await _permitted(call, wanted)
    jobs_audited.refused(call, verb, refused)
    if selection is None:
        return VerbReply(refused)
    changed = await central.store.change(
        person, community, verb, selection, priority=request.priority, reason=request.reason
    )
    central.dispatcher.jobs_removed(changed.removed)
    central.dispatcher.jobs_added(changed.added)
    for stamp in changed.ordered:
        await central.orders.reload(stamp)
    await _publish(call, changed.results)
    _log(call, verb, changed.results)
    await jobs_audited.changed(call, verb, changed.results)
    return VerbReply(tuple(sorted((*changed.results, *refused), key=lambda result: result.job)))


def _log(call: Call[VerbRequest], verb: JobVerb, results: Sequence[VerbResult]) -> None:
    """One line for the request, whatever the number of its jobs; none where it changed nothing."""
    jobs = [result.job for result in results if result.changed]
    if jobs:
        fields = {"verb": verb, "who": call.person.user, "jobs": len(jobs), "first": jobs[0], "last": jobs[-1]}
        log.info("Jobs are changed", extra={"fields": {**fields, "reason": in_a_line(call.message.reason)}})


async def _publish(call: Call[VerbRequest], results: Sequence[VerbResult]) -> None:
    """Tell those who watch, each of the own community: of as many changes as a watcher keeps."""
    central, person = call.central, call.person
    told = {result.job: result.state for result in results if result.changed and result.state}
    if len(told) > MAX_BEHIND:
        central.hub.missed()
        told = dict(islice(told.items(), MAX_BEHIND))
    whose: dict[str, list[int]] = {person.community: list(told)}
    if community_of(person) is None and told:
        whose = {}
        found = await central.store.jobs(None, Selection(ids=tuple(told)), None, len(told), False)
        for view in found.jobs:
            whose.setdefault(view.community, []).append(view.id)
    for community, jobs in whose.items():
        central.hub.publish((community,), *(JobChanged(job, told[job], 0) for job in jobs))


def _scope(person: Identity, selection: Selection) -> tuple[str | None, Selection]:
    """The community that is looked at, which an operator may name (None: all), and the rest of the selection."""
    own = community_of(person)
    if own is not None and selection.community not in (None, own):
        raise Refusal("not-found", f"there is no community {selection.community!r:.100} that you may see")
    return own if own is not None else selection.community, replace(selection, community=None)


async def _permitted(call: Call[VerbRequest], selection: Selection) -> tuple[Selection | None, tuple[VerbResult, ...]]:
    """What of the selection the caller may change (None: nothing), and a refusal for each of the others."""
    person = call.person
    if may_change_job(person, person.community, "", "") or selection.owner == person.user:
        return selection, ()  # all of the community, or the own ones
    allowed: list[int] = []
    refused: list[VerbResult] = []
    known: set[int] = set()
    cursor: str | None = None
    while True:
        found = await call.central.store.jobs(person.community, selection, cursor, MAX_PAGE, False)
        for view in found.jobs:
            known.add(view.id)
            if may_change_job(person, view.community, view.group, view.owner):
                allowed.append(view.id)
            else:
                refused.append(VerbResult(view.id, False, view.state, f"it is {view.owner}'s, and you are no admin"))
        cursor = found.next
        if cursor is None:
            break
    unknown = tuple(job for job in selection.ids if job not in known)
    if not allowed and not unknown:
        return None, tuple(refused)
    return replace(selection, ids=(*allowed, *unknown)), tuple(refused)


async def why(call: Call[None]) -> JobExplanation:
    """Why a job waits, by the same predicates as the match."""
    detail = await call.central.store.job(community_of(call.person), call.number("job"))
    return await explaining.job(call.central, detail)


async def why_all(call: Call[ExplainRequest]) -> ExplainReply:
    """Why jobs wait, those of one task queue together; also where those are that do not wait."""
    request = call.message
    if not 1 <= request.limit <= MAX_PAGE:
        raise InvalidInput("limit", f"expected 1 to {MAX_PAGE}, got {request.limit}")
    if len(request.selection.ids) > MAX_PAGE:
        raise InvalidInput("selection.ids", f"expected at most {MAX_PAGE} ids, got {len(request.selection.ids)}")
    _check_cursor(request.cursor)
    if request.selection.ids:
        request = replace(request, limit=max(request.limit, len(request.selection.ids)))
    community, selection = _scope(call.person, request.selection)
    return await explaining.jobs(call.central, community, replace(request, selection=selection))


def _check_cursor(cursor: str | None) -> None:
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise InvalidInput("cursor", "expected what `next` of the page before said")


ROUTES = (
    Route("GET", "/v1/jobs", page, (Who.MEMBER,), "List jobs", reply=JobPage, query=JobsQuery),
    Route("GET", "/v1/jobs/{job:number}", one, (Who.MEMBER,), "One job", reply=JobDetail),
    Route("GET", "/v1/jobs/{job:number}/attempts", attempts, (Who.MEMBER,), "Its attempts", reply=AttemptPage),
    Route(
        "GET",
        "/v1/jobs/{job:number}/outputs",
        outputs,
        (Who.MEMBER,),
        "What it brought home",
        reply=JobOutputs,
        query=AttemptQuery,
    ),
    Route("GET", "/v1/jobs/{job:number}/explain", why, (Who.MEMBER,), "Why it waits", reply=JobExplanation),
    Route(
        "POST",
        "/v1/jobs/explain",
        why_all,
        (Who.MEMBER,),
        "Why many wait",
        message=ExplainRequest,
        reply=ExplainReply,
    ),
    Route(
        "POST",
        "/v1/jobs/{verb:verb}",
        change,
        (Who.MEMBER,),
        "Kill, hold, release, reschedule, or change the priority",
        message=VerbRequest,
        reply=VerbReply,
    ),
)
