"""Gathering what explanations are about: who is there, what they have left, how full limits are, what was used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from central.configuration.expected import expected
from central.explanations import outages
from central.explanations.bound import left_out, serves
from central.explanations.explain import (
    WORKING,
    Candidate,
    Circumstances,
    Kept,
    Looked,
    Standing,
    distinct,
    explain,
    explain_agents,
    explain_looked,
    look,
    not_waiting,
    suspected,
    task_queue,
)
from central.explanations.paused import SENDS_NONE, Pauses
from central.explanations.policed import policed
from central.explanations.unproved import unproved
from central.fleet.presence import FreePilot
from central.matching.matcher import Free, alone, fits, kind_fits, room
from central.matching.share_views import standing
from central.records import PilotRow
from pilot.codes import of_pilot
from pilot.protocol import Needs
from pilot.states import LEASED, JobState, PilotState
from pilot.use import ShareView
from pilot.views import (
    ExplainedJobs,
    ExplainReply,
    ExplainRequest,
    JobDetail,
    JobExplanation,
    JobView,
    PilotExplanation,
)

if TYPE_CHECKING:
    from central.app import Central

#: Different offers that are looked at to find what else competes for them.
COMPETED_FOR = 10
#: Of so many groups of jobs the place in the order is told; of more it would take too long.
PLACED = 50

_Shares = Mapping[tuple[str, str, str], ShareView]


async def job(central: Central, detail: JobDetail) -> JobExplanation:
    """Explain a job as things stand now."""
    if detail.job.state is not JobState.WAITING:
        attempts = await central.store.attempts(detail.job.community, detail.job.id)
        ended = [attempt.code for attempt in attempts if attempt.outcome is not None]
        explained = explain(detail.job, detail.needs, Circumstances((), {}))
        waits = attempts[-1].usage.waits_for if attempts and attempts[-1].outcome is None else None
        if waits:
            explained = replace(explained, summary=f"{explained.summary}; tried again: {waits}")
        return replace(explained, code=ended[-1] if ended and detail.job.state not in LEASED else "")
    now = await _circumstances(central)
    looked = look(task_queue(detail.job, detail.needs), now)
    place = await _standing(central, detail.job, looked, await _shares(central))
    explained = explain_looked(detail.job, looked, now, place)
    return outages.told(central, explained, detail.job.task_queue, detail.credentials)


async def jobs(central: Central, community: str | None, request: ExplainRequest) -> ExplainReply:
    """Explain many jobs as things stand now: those of one task queue share an explanation."""
    selection = request.selection
    page = await central.store.jobs(community, selection, request.cursor, request.limit, False)
    waiting: dict[int, list[JobView]] = {}
    others: dict[str, list[JobView]] = {}
    for view in page.jobs:
        if view.state is JobState.WAITING:
            waiting.setdefault(view.task_queue, []).append(view)
        else:
            others.setdefault(not_waiting(view), []).append(view)
    found = [
        ExplainedJobs(tuple(sorted(view.id for view in views)), explain(views[-1], Needs(), Circumstances((), {})))
        for views in others.values()
    ]
    if waiting:
        found += await _waiting(central, waiting)
    unknown = () if page.next or request.cursor else sorted(set(selection.ids) - {view.id for view in page.jobs})
    return ExplainReply(tuple(sorted(found, key=lambda one: -len(one.jobs))), tuple(unknown), page.next)


async def pilot(central: Central, row: PilotRow) -> PilotExplanation:
    """Explain a pilot as things stand now."""
    now = await central.store.now() if row.suspect else 0.0
    circumstances = Circumstances(_agents(central, row, now), {}, await central.store.limits())
    waiting = central.dispatcher.queues.queues(serves(row))
    code = of_pilot(row.reason, row.message)
    explained = explain_agents(row, circumstances, waiting, suspected(row.suspect, now))
    said = central.decisions.get(row.queue)
    if row.state is PilotState.SUBMITTED and said and said.waits:
        told = "; ".join(f"{words} ({count:,})" for words, count in said.waits)
        explained = replace(explained, summary=f"{explained.summary}; of those that wait the batch system says {told}")
    return replace(explained, code=code.value if code else "")


def left_of(central: Central, row: PilotRow) -> Sequence[FreePilot]:
    """What a pilot has left: as heard here, else as it last offered."""
    free = central.presence.free(row.stamp) or ((FreePilot(row.stamp, 1, row.offer),) if row.offer else ())
    return [replace(one, offer=alone(one.offer, row.bound)) for one in free] if row.bound else free


async def _circumstances(central: Central) -> Circumstances:
    rows = await _working(central)
    now = await central.store.now() if any(row.suspect for row in rows) else 0.0
    pilots = [agent for row in rows for agent in _agents(central, row, now)]
    queues = [Candidate.queue(expected(queue)) for queue in central.settings.queues]
    decisions = {queue.name: queue.undecided() for queue in central.settings.queues}
    decisions |= {name: word.why for name, word in central.decisions.items()}
    stuck = {name: word.why for name, word in central.decisions.items() if word.cause in SENDS_NONE}
    limits = await central.store.limits()
    return Circumstances(distinct([*pilots, *queues]), decisions, limits, await paused(central), stuck)


async def paused(central: Central) -> Pauses:
    """The queues that get no pilots because somebody said so, of them or of their sites."""
    pauses = await central.store.pauses()
    return {
        queue.name: str(pause)
        for queue in central.settings.queues
        for pause in reversed(pauses)
        if pause.stops(queue.name, queue.site)
    }


def _agents(central: Central, row: PilotRow, now: float) -> list[Candidate]:
    """The agents of a pilot. `now` is the database's time."""
    barred = suspected(row.suspect, now)
    denied = unproved(row.facts)
    return [
        replace(
            Candidate.pilot(free, barred, _kept(central, free), policed(row.facts, free.offer, serves(row))),
            unproved=denied,
            left_out=left_out(row),
        )
        for free in left_of(central, row)
    ]


def _kept(central: Central, free: FreePilot) -> Kept | None:
    """The room of an agent that is kept for a wide job which still waits, and may run there."""
    queues = central.dispatcher.queues
    kept = central.dispatcher.reservations.at(free.stamp, free.agent, central.clock.now())
    if kept is None or not queues.waits(kept.queue.id) or not kind_fits(kept.queue, free.offer):
        return None
    rest = Free.of(free.offer)
    if room(kept.queue.needs, rest) and queues.closed(kept.queue, free.offer):
        return None  # a full limit is all that it waits for
    rest.take(kept.queue.needs, kept.queue.needs.cores, 1)
    return Kept(kept.queue.id, rest.left_of(free.offer), str(kept))


async def _working(central: Central) -> list[PilotRow]:
    """The pilots that would be given jobs: one with an alarm would not."""
    found: list[PilotRow] = []
    cursor: str | None = None
    while True:
        rows, cursor = await central.store.pilots(None, states=WORKING, cursor=cursor)
        found += [row for row in rows if not row.alarm]
        if cursor is None:
            return found


async def _waiting(central: Central, waiting: Mapping[int, list[JobView]]) -> list[ExplainedJobs]:
    now, shares = await _circumstances(central), await _shares(central)
    found: list[ExplainedJobs] = []
    for number, unsorted in waiting.items():
        ordered = sorted(unsorted, key=lambda view: (-view.priority, view.id))
        away, views = await outages.resting(central, number, ordered)
        found += away
        if not views:
            continue
        needs = await _needs(central, number, views[0])
        if needs is None:  # it does not wait any more
            continue
        looked = look(task_queue(views[0], needs), now)
        place = (
            await _standing(central, views[0], looked, shares)
            if len(waiting) <= PLACED
            else Standing(shares=_lines(shares, views[0]))
        )
        explained = explain_looked(views[0], looked, now, place)
        found.append(ExplainedJobs(tuple(view.id for view in views), explained))
        await asyncio.sleep(0)  # others have a turn
    return found


async def _needs(central: Central, number: int, view: JobView) -> Needs | None:
    """What the jobs of a task queue need."""
    known = central.dispatcher.queues.task(number)
    if known is not None:
        return known.needs
    found = await central.store.task_queue(view.id)
    return found.queue.needs if found else None


async def _standing(central: Central, view: JobView, looked: Sequence[Looked], shares: _Shares) -> Standing:
    """Where a job stands, and how many of its owner's go before it where it fits; None where it fits nothing."""
    fitting = [one.candidate.offer for one in looked if not one.misses][:COMPETED_FOR]
    rivals = [
        task.id
        for task, _ in central.dispatcher.queues.queues((view.community,))
        if task.owner == view.owner and task.group == view.group and any(fits(task, offer) for offer in fitting)
    ]
    ahead = await central.store.ahead(view.id, sorted(rivals)) if fitting else None
    return Standing(ahead, _lines(shares, view))


async def _shares(central: Central) -> _Shares:
    settings = central.settings
    consumed = await central.store.consumed(settings.shares.half_life)
    return {(view.community, view.group, view.owner): view for view in standing(settings.communities, consumed)}


def _lines(shares: _Shares, job: JobView) -> tuple[str, ...]:
    """What those whose job it is are due and have used; nothing where nobody has used anything."""
    if not any(view.used for view in shares.values()):
        return ()
    who = {
        "community": (job.community, "", ""),
        "group": (job.community, job.group, ""),
        "owner": (job.community, job.group, job.owner),
    }
    return tuple(_line(kind, shares.get(names), names) for kind, names in who.items())


def _line(kind: str, view: ShareView | None, names: tuple[str, str, str]) -> str:
    name = next(name for name in reversed(names) if name)
    if view is None:
        return f"{kind} {name}: has used nothing lately"
    running = f", with {view.cores:,} core{'' if view.cores == 1 else 's'} now" if view.cores else ""
    return f"{kind} {name}: due {_percent(view.due)} of everything, has used {_percent(view.part)}{running}"


def _percent(part: float) -> str:
    return f"{100 * part:.1f}".removesuffix(".0") + " %"
