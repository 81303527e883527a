"""What the audit has of verbs on jobs: those of others that were changed, and attempts at those that may not be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from central.records import Note
from central.serving.http import Call
from central.trust.rules import community_of
from pilot.views import JobVerb, Selection, VerbRequest, VerbResult

#: Jobs that are looked up at once, and owners with a line each; of more there is one line.
PAGE, MOST_OWNERS = 10_000, 100


async def changed(call: Call[VerbRequest], verb: JobVerb, results: Sequence[VerbResult]) -> None:
    """A line for each owner of jobs that somebody else has changed. A member can change the own ones alone."""
    person = call.person
    jobs = [result.job for result in results if result.changed]
    if person.role == "member" or not jobs:
        return
    owned: dict[tuple[str, str], list[int]] = defaultdict(list)
    for start in range(0, len(jobs), PAGE):
        wanted = Selection(ids=tuple(jobs[start : start + PAGE]))
        found = await call.central.store.jobs(community_of(person), wanted, None, PAGE, False)
        for view in found.jobs:
            if (view.community, view.owner) != (person.community, person.user):
                owned[view.community, view.owner].append(view.id)
    what, reason = f"job.{verb}", call.message.reason
    owners = sorted(owned)
    notes = [
        Note(person.user, what, *whose, _named(owned[whose]), _only(owned[whose]), detail=reason)
        for whose in owners[:MOST_OWNERS]
    ]
    if others := [job for whose in owners[MOST_OWNERS:] for job in owned[whose]]:
        more = f"of {len(owners) - MOST_OWNERS} more owners: {reason}"
        notes.append(Note(person.user, what, "", "", _named(others), detail=more))
    await call.central.audit.note(*notes)


def refused(call: Call[VerbRequest], verb: JobVerb, results: Sequence[VerbResult]) -> None:
    """One line for all jobs of a request that are not the caller's to change."""
    if results:
        person, jobs = call.person, [result.job for result in results]
        detail = f"forbidden: {_named(jobs)} of others"
        call.central.audit.bounded(
            Note(person.user, "refused", person.community, "", f"POST /v1/jobs/{verb}", detail=detail)
        )


def _named(jobs: Sequence[int]) -> str:
    return f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs, {min(jobs)} to {max(jobs)}"


def _only(jobs: Sequence[int]) -> int | None:
    return jobs[0] if len(jobs) == 1 else None
