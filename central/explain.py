"""Why a job waits and why a pilot got nothing, by the same predicates as the match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.matcher import Miss, distance, failures, fits
from central.presence import FreePilot
from central.records import PilotRow, TaskQueue
from pilot.protocol import Needs, NoMatch, Offer
from pilot.states import FINAL, LEASED, LIVE_PILOT, JobState, PilotState
from pilot.views import JobDetail, JobExplanation, NeedFailure, PilotExplanation

if TYPE_CHECKING:
    from central.app import Central

#: Different offers that are looked at to find what else competes for them.
COMPETED_FOR = 10
#: States in which a pilot is given jobs.
_WORKING = (PilotState.RUNNING, PilotState.SILENT)


# -- one offer --------------------------------------------------------------------------------------------------------


def nothing_for(offer: Offer, waiting: Sequence[TaskQueue]) -> tuple[NoMatch, str]:
    """Why an offer got nothing, where `waiting` are queues with jobs that its communities have."""
    if not waiting:
        return "nothing-waits", f"no job of {' or '.join(offer.communities) or 'any community'} waits"
    nearest = min((failures(queue, offer) for queue in waiting), key=distance)
    if not nearest:
        return "nothing-fits", "what fits was given to others"
    return "nothing-fits", f"no waiting job fits; the nearest {_sentence(nearest)}"


def never_satisfiable(needs: Needs, community: str, offers: Sequence[Offer]) -> str | None:
    """Why no configured queue could ever run such a job, where `offers` are what their pilots would offer."""
    queue = TaskQueue(0, community, "", "", needs)
    serving = [offer for offer in offers if community in offer.communities]
    if any(fits(queue, offer) for offer in serving):
        return None
    if not serving:
        return f"no configured queue serves {community}"
    nearest = min(serving, key=lambda offer: distance(failures(queue, offer)))
    return f"no configured queue can run it; at the nearest, {nearest.queue}, it {_sentence(failures(queue, nearest))}"


def _sentence(misses: Sequence[Miss]) -> str:
    return "; ".join(str(miss) for miss in misses)


# -- a job ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Looked:
    """One live pilot or configured queue, and what of the needs it does not meet."""

    name: str
    offer: Offer
    is_pilot: bool
    misses: tuple[Miss, ...]


def explain_job(
    detail: JobDetail,
    pilots: Sequence[FreePilot],
    offers: Sequence[Offer],
    decisions: Mapping[str, str],
    ahead: int | None = None,
) -> JobExplanation:
    """Why a job waits.

    `pilots` are what live pilots have left, `offers` what the pilots of each configured queue would offer, `decisions`
    what each queue's director last said, and `ahead` the number of waiting jobs that go before it where it fits.
    """
    job = detail.job
    if job.state is not JobState.WAITING:
        return JobExplanation(job.id, job.state, _not_waiting(detail))
    queue = task_queue(detail)
    looked = [
        *(_look(queue, f"pilot {free.stamp[:8]} at {free.offer.site}", free.offer, True) for free in pilots),
        *(_look(queue, f"queue {offer.queue} at {offer.site}", offer, False) for offer in offers),
    ]
    fitting = [one for one in looked if not one.misses]
    fitting_queues = [one.offer.queue for one in fitting if not one.is_pilot]
    found = _failures(looked, job.community)
    visible = [one for one in looked if one.misses and job.community in one.offer.communities]
    nearest = min(visible, key=lambda one: distance(one.misses), default=None)
    undecided = "its director has not looked yet"
    return JobExplanation(
        job=job.id,
        state=job.state,
        summary=_summary(len(fitting) - len(fitting_queues), fitting_queues, found, looked, ahead),
        pilots=len(pilots),
        queues=len(offers),
        fitting_pilots=len(fitting) - len(fitting_queues),
        fitting_queues=len(fitting_queues),
        failures=found,
        nearest=f"{nearest.name}: the job {_sentence(nearest.misses)}" if nearest else "",
        ahead=ahead if fitting else None,
        no_pilot=tuple(f"{name}: {decisions.get(name) or undecided}" for name in fitting_queues),
    )


def task_queue(detail: JobDetail) -> TaskQueue:
    """What the match sees of a job."""
    return TaskQueue(0, detail.job.community, detail.job.group, detail.job.owner, detail.needs)


def _look(queue: TaskQueue, name: str, offer: Offer, is_pilot: bool) -> _Looked:
    return _Looked(name, offer, is_pilot, failures(queue, offer))


def _not_waiting(detail: JobDetail) -> str:
    job = detail.job
    reason = f": {job.reason}" if job.reason else ""
    if job.state is JobState.HELD:
        return f"It is held{reason}"
    if job.state in LEASED:
        return f"It does not wait: attempt {job.attempt} is {job.state.value} at {job.site or 'an unknown site'}"
    assert job.state in FINAL  # noqa: S101 - the states are waiting, held, leased and final
    return f"It is over: {job.state.value}{reason}"


def _failures(looked: Sequence[_Looked], community: str) -> tuple[NeedFailure, ...]:
    """How many fail each need, and who comes nearest among those that the community may know of."""
    missed: dict[str, list[tuple[_Looked, Miss]]] = {}
    for one in looked:
        for miss in one.misses:
            missed.setdefault(miss.need, []).append((one, miss))
    return tuple(
        NeedFailure(
            need=need,
            asked=found[0][1].asked,
            pilots=sum(one.is_pilot for one, _ in found),
            queues=sum(not one.is_pilot for one, _ in found),
            example=_example([pair for pair in found if community in pair[0].offer.communities]),
        )
        for need, found in missed.items()
    )


def _example(found: Sequence[tuple[_Looked, Miss]]) -> str:
    if not found:
        return ""
    one, miss = min(found, key=lambda pair: pair[1].lack)
    return f"{one.name}: {miss.offered}"


def _summary(
    pilots: int, queues: Sequence[str], found: Sequence[NeedFailure], looked: Sequence[_Looked], ahead: int | None
) -> str:
    if not looked:
        return "There is no live pilot and no configured queue"
    if pilots:
        turn = f"{_count(ahead, 'job')} before it" if ahead else "it is the next in order"
        return f"It fits {_count(pilots, 'live pilot')} as they are now: {turn}"
    if queues:
        return f"No live pilot has room for it now; pilots of {', '.join(queues)} would have"
    everywhere = [one for one in found if one.pilots + one.queues == len(looked)]
    if everywhere:
        return f"Nothing here offers {' or '.join(one.asked for one in everywhere)}"
    return "Nothing here meets all of its needs at once"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


# -- a pilot ----------------------------------------------------------------------------------------------------------


def explain_pilot(
    pilot: PilotRow, offers: Sequence[Offer], waiting: Iterable[tuple[TaskQueue, int]]
) -> PilotExplanation:
    """Why a pilot got nothing, where `offers` is what each of its agents has left, and `waiting` are the queues of its
    communities with the number of their jobs."""
    if problem := _not_matching(pilot, offers):
        return PilotExplanation(pilot.stamp, pilot.state, problem)
    total = fitting = 0
    missed: dict[str, list[tuple[TaskQueue, int, Miss]]] = {}
    nearest: tuple[Miss, ...] = ()
    for queue, jobs in waiting:
        misses = min((failures(queue, offer) for offer in offers), key=distance)
        total += jobs
        fitting += 0 if misses else jobs
        if misses and (not nearest or distance(misses) < distance(nearest)):
            nearest = misses
        for miss in misses:
            missed.setdefault(miss.need, []).append((queue, jobs, miss))
    return PilotExplanation(
        stamp=pilot.stamp,
        state=pilot.state,
        summary=_pilot_summary(pilot, total, fitting, nearest),
        waiting=total,
        fitting=fitting,
        failures=tuple(_need(need, found) for need, found in missed.items()),
    )


def _need(need: str, found: Sequence[tuple[TaskQueue, int, Miss]]) -> NeedFailure:
    miss = min((miss for _, _, miss in found), key=lambda miss: miss.lack)
    jobs = sum(jobs for _, jobs, _ in found)
    return NeedFailure(need, miss.asked, 1, len(found), f"the nearest {miss}", jobs)


def _not_matching(pilot: PilotRow, offers: Sequence[Offer]) -> str:
    """Why nothing is matched to the pilot, whatever waits; empty when something could be."""
    if pilot.state not in LIVE_PILOT:
        why = f" ({pilot.reason.value})" if pilot.reason else ""
        return f"It is over: {pilot.state.value}{why}"
    if pilot.state is PilotState.DRAINING:
        return "It drains: it takes no new jobs"
    if pilot.state not in _WORKING:
        return f"It has not called back yet: it is {pilot.state.value}"
    if pilot.alarm:
        return f"It gets no jobs until somebody has looked at its alarm: {pilot.alarm}"
    return "" if offers else "It has not asked for jobs yet"


def _pilot_summary(pilot: PilotRow, total: int, fitting: int, nearest: Sequence[Miss]) -> str:
    if not total:
        return f"No job of {' or '.join(pilot.communities)} waits"
    if fitting:
        return f"{_count(fitting, 'waiting job')} would fit: it gets some when it asks the next time"
    return f"None of {_count(total, 'waiting job')} fits; the nearest {_sentence(nearest)}"


# -- gathering --------------------------------------------------------------------------------------------------------


async def job(central: Central, detail: JobDetail) -> JobExplanation:
    """Explain a job as things stand now."""
    if detail.job.state is not JobState.WAITING:
        return explain_job(detail, (), (), {})
    pilots = [free for row in await _working(central) for free in left_of(central, row)]
    offers = [queue.offer() for queue in central.settings.queues]
    return explain_job(detail, pilots, offers, central.decisions, await _ahead(central, detail, pilots, offers))


async def pilot(central: Central, row: PilotRow) -> PilotExplanation:
    """Explain a pilot as things stand now."""
    offers = [free.offer for free in left_of(central, row)]
    return explain_pilot(row, offers, central.dispatcher.queues.queues(row.communities))


def left_of(central: Central, row: PilotRow) -> Sequence[FreePilot]:
    """What a pilot has left: as heard here, else as it last offered."""
    free = central.presence.free(row.stamp)
    return free or ((FreePilot(row.stamp, 1, row.offer),) if row.offer else ())


async def _working(central: Central) -> list[PilotRow]:
    found: list[PilotRow] = []
    cursor: str | None = None
    while True:
        rows, cursor = await central.store.pilots(None, states=_WORKING, cursor=cursor)
        found += rows
        if cursor is None:
            return found


async def _ahead(
    central: Central, detail: JobDetail, pilots: Sequence[FreePilot], offers: Sequence[Offer]
) -> int | None:
    """The waiting jobs that go before this one where it fits; None where it fits nothing."""
    queue = task_queue(detail)
    every = dict.fromkeys([*(free.offer for free in pilots), *offers])
    fitting = [offer for offer in every if fits(queue, offer)][:COMPETED_FOR]
    if not fitting:
        return None
    rivals = {task.id for offer in fitting for task, _ in central.dispatcher.queues.fitting(offer)}
    return await central.store.ahead(detail.job.id, sorted(rivals))
