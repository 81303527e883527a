"""What people ask of jobs: lists, one, its attempts and outputs, why it waits; and what they do to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from central import explain
from central.events import JobChanged
from central.http import Call, Route
from central.rules import Who, community_of, may_change_job
from pilot.errors import InvalidInput, Refusal
from pilot.states import JobState
from pilot.views import (
    AttemptPage,
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
        raise _invalid("limit", f"expected 1 to {MAX_PAGE}, got {query.limit}")
    if query.cursor is not None and not _CURSOR.fullmatch(query.cursor):
        raise _invalid("cursor", "expected what `next` of the page before said")
    selection = Selection(query.ids, query.states, query.owner, query.group, query.name)
    community = community_of(call.person)
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
    if request.selection == Selection():
        raise _invalid("selection", "expected `ids`, or a field that the jobs must fit: an empty one does not mean all")
    if verb == "priority" and (request.priority is None or not 0 <= request.priority <= 10):
        raise _invalid("priority", f"expected a whole number from 0 to 10, got {request.priority}")
    selection, refused = await _permitted(call)
    if selection is None:
        return VerbReply(refused)
    changed = await central.store.change(
        person, community_of(person), verb, selection, priority=request.priority, reason=request.reason
    )
    central.dispatcher.jobs_removed(changed.removed)
    central.dispatcher.jobs_added(changed.added)
    for stamp in changed.ordered:
        await central.orders.reload(stamp)
    events = [JobChanged(result.job, result.state, 0) for result in changed.results if result.changed and result.state]
    central.hub.publish((person.community,), *events)
    return VerbReply(tuple(sorted((*changed.results, *refused), key=lambda result: result.job)))


async def _permitted(call: Call[VerbRequest]) -> tuple[Selection | None, tuple[VerbResult, ...]]:
    """What of the selection the caller may change (None: nothing), and a refusal for each of the others."""
    person, selection = call.person, call.message.selection
    if may_change_job(person, person.community, "", ""):  # all of the community
        return selection, ()
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
    return await explain.job(call.central, detail)


def _invalid(where: str, text: str) -> Refusal:
    problem = InvalidInput(where, text)
    return Refusal("invalid", str(problem), problems=(problem,))


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
        "/v1/jobs/{verb:verb}",
        change,
        (Who.MEMBER,),
        "Kill, hold, release, reschedule, or change the priority",
        message=VerbRequest,
        reply=VerbReply,
    ),
)
