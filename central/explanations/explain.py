"""Why a job waits and why a pilot got nothing, by the same predicates as the match: the sentences.

`central/explanations/explaining.py` gathers what they are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from central.explanations.bound import serves, told_alone
from central.explanations.paused import Pauses, Stuck, whose_pilots
from central.explanations.policed import Policed, told
from central.explanations.unproved import Unproved, because
from central.fleet.presence import FreePilot
from central.matching.matcher import Free, Miss, amount_misses, distance, failures, granted, kind_misses
from central.records import LimitUse, PilotRow, Suspicion, TaskQueue
from central.store.limiting import Place, counts, demanded_tags, room
from pilot.protocol import Needs, NoMatch, Offer
from pilot.states import FINAL, LEASED, LIVE_PILOT, JobState, PilotState
from pilot.units import show_duration
from pilot.views import JobExplanation, JobView, NeedFailure, PilotExplanation

#: States in which a pilot is given jobs.
WORKING = (PilotState.RUNNING, PilotState.SILENT)


# -- one offer --------------------------------------------------------------------------------------------------------


def nothing_for(offer: Offer, waiting: Sequence[TaskQueue]) -> tuple[NoMatch, str]:
    """Why an offer got nothing, where `waiting` are queues with jobs that its communities have."""
    if not waiting:
        return "nothing-waits", f"no job of {' or '.join(offer.communities) or 'any community'} waits"
    nearest = min((failures(queue, offer) for queue in waiting), key=distance)
    if not nearest:
        return "nothing-fits", "what fits was given to others"
    return "nothing-fits", f"no waiting job fits; the nearest {_sentence(nearest)}"


def _sentence(misses: Sequence[Miss]) -> str:
    return "; ".join(str(miss) for miss in misses)


# -- a job ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """Room of a pilot that is kept for a wide job of one task queue; others may have the `rest` of the offer."""

    queue: int
    rest: Offer
    why: str


@dataclass(frozen=True)
class Candidate:
    """What a job is compared with: an agent of a live pilot or a configured queue, and others with the same offer."""

    name: str  # of the first of them
    offer: Offer
    is_pilot: bool
    count: int = 1
    barred: str = ""  # why they get no job now, whatever they offer
    kept: Kept | None = None  # room is kept there
    cuts: Policed = ()  # what the site's policy makes less
    unproved: Unproved = ()  # why it runs no containers
    left_out: tuple[str, ...] = ()  # communities that it was sent for, before it was bound to another

    @classmethod
    def pilot(cls, free: FreePilot, barred: str = "", kept: Kept | None = None, cuts: Policed = ()) -> Candidate:
        name = f"pilot {free.stamp[:8]} at {free.offer.site}"
        return cls(name, free.offer, True, barred=barred, kept=kept, cuts=cuts)

    def is_known_to(self, community: str) -> bool:
        """Whether the community may hear of it."""
        return community in self.offer.communities or community in self.left_out

    @classmethod
    def queue(cls, offer: Offer) -> Candidate:
        return cls(f"queue {offer.queue} at {offer.site}", offer, False)


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Candidates with the same offer as one."""
    found: dict[Candidate, list[Candidate]] = {}
    for one in candidates:
        found.setdefault(replace(one, name="" if one.is_pilot else one.name), []).append(one)
    return tuple(replace(same[0], count=sum(one.count for one in same)) for same in found.values())


@dataclass(frozen=True)
class Circumstances:
    """What is so for every job: who is there, what directors last said of their queues, how full the limits are."""

    candidates: Sequence[Candidate]
    decisions: Mapping[str, str]
    limits: Sequence[LimitUse] = ()
    paused: Pauses = field(default_factory=dict)
    stuck: Stuck = field(default_factory=dict)

    @cached_property
    def kinds(self) -> tuple[Sequence[Offer], Sequence[int]]:
        """The offers without their amounts, which are few, and which of them each candidate's is."""
        numbers: dict[Offer, int] = {}
        found = [numbers.setdefault(_bare(one.offer), len(numbers)) for one in self.candidates]
        return tuple(numbers), found


def _bare(offer: Offer) -> Offer:
    """The offer without its amounts."""
    return replace(offer, cores=0, memory=None, disk=None, gpus=(), seconds_left=None, power=None)


@dataclass(frozen=True)
class Standing:
    """Where a job stands among those that fit the same pilots."""

    ahead: int | None = None  # jobs of its owner that go before it
    shares: tuple[str, ...] = ()  # what its community, its group and its owner are due and have used


@dataclass(frozen=True)
class Looked:
    """A candidate, and what of the needs it does not meet."""

    candidate: Candidate
    misses: tuple[Miss, ...]


def explain(job: JobView, needs: Needs, now: Circumstances, standing: Standing = Standing()) -> JobExplanation:
    """Why a job waits, as things are now."""
    if job.state is not JobState.WAITING:
        return JobExplanation(job.id, job.state, not_waiting(job))
    return explain_looked(job, look(task_queue(job, needs), now), now, standing)


def task_queue(job: JobView, needs: Needs) -> TaskQueue:
    """What the match sees of a job."""
    return TaskQueue(job.task_queue, job.community, job.group, job.owner, needs)


def explain_looked(job: JobView, looked: Sequence[Looked], now: Circumstances, standing: Standing) -> JobExplanation:
    """Why a job waits, of whose task queue it was looked what each candidate lacks."""
    pilots, queues = _count_of(looked, pilots=True), _count_of(looked, pilots=False)
    fitting = [one for one in looked if not one.misses]
    fitting_queues = [one.candidate.offer.queue for one in fitting if not one.candidate.is_pilot]
    fitting_pilots = _count_of(fitting, pilots=True)
    queues_said = whose_pilots(fitting_queues, now.paused, now.stuck) if fitting_queues else ""
    found = _failures(looked, job.community)
    visible = [one for one in looked if one.misses and one.candidate.is_known_to(job.community)]
    nearest = min(visible, key=lambda one: distance(one.misses), default=None)
    decisions = {**now.decisions, **now.paused}
    undecided = "its director has not looked yet"
    return JobExplanation(
        job=job.id,
        state=job.state,
        summary=_summary(looked, fitting_pilots, queues_said, found, standing.ahead),
        pilots=pilots,
        queues=queues,
        fitting_pilots=fitting_pilots,
        fitting_queues=len(fitting_queues),
        failures=found,
        nearest=f"{nearest.candidate.name}: the job {_sentence(nearest.misses)}" if nearest else "",
        ahead=standing.ahead if fitting else None,
        no_pilot=tuple(f"{name}: {decisions.get(name) or undecided}" for name in fitting_queues),
        shares=standing.shares,
    )


def look(queue: TaskQueue, now: Circumstances) -> list[Looked]:
    """What of the needs of a task queue's jobs each candidate does not meet."""
    tags = demanded_tags(queue.needs.tags)
    whose = Place("", "", queue.community, queue.group, queue.owner, tags)
    mine = [use for use in now.limits if counts(replace(use.limit, site=None, queue=None), whose)]
    kinds, numbers = now.kinds
    wrong = [tuple(kind_misses(queue, kind)) for kind in kinds]
    looked: list[Looked] = []
    for one, number in zip(now.candidates, numbers, strict=True):
        missing = _missing(queue, one, (*wrong[number], *amount_misses(queue.needs, one.offer)))
        missing = because(told(told_alone(missing, queue.community, one.left_out), one.cuts), one.unproved)
        looked.append(Looked(one, (*missing, *_barring(one), *_full(queue, one.offer, mine))))
    return looked


def _missing(queue: TaskQueue, candidate: Candidate, found: tuple[Miss, ...]) -> tuple[Miss, ...]:
    """What was found to be missing; of a candidate with room that is kept, also whether the rest is enough."""
    kept = candidate.kept
    if found or kept is None or kept.queue == queue.id or not failures(queue, kept.rest):
        return found
    return (Miss("reservation", "room that is not kept for another", kept.why),)


def _barring(candidate: Candidate) -> tuple[Miss, ...]:
    return (
        (Miss("machine", "a machine that is not suspect", f"one that is {candidate.barred}"),)
        if candidate.barred
        else ()
    )


def _full(queue: TaskQueue, offer: Offer, limits: Sequence[LimitUse]) -> Iterator[Miss]:
    """The limits that let no such job in there now."""
    for use in limits:
        limit = use.limit
        if limit.site not in (None, offer.site) or limit.queue not in (None, offer.queue):
            continue
        if room(use, max(granted(queue.needs, Free.of(offer)), queue.needs.cores)) == 0:
            held = [
                f"{now:,} of {most:,} {what}"
                for now, most, what in ((use.attempts, limit.attempts, "attempts"), (use.cores, limit.cores, "cores"))
                if most is not None
            ]
            yield Miss("limit", f"room under the limit {limit.name}", f"{' and '.join(held)} out")


def _count_of(looked: Sequence[Looked], *, pilots: bool) -> int:
    return sum(one.candidate.count for one in looked if one.candidate.is_pilot == pilots)


def not_waiting(job: JobView) -> str:
    """Why a job that does not wait is where it is."""
    reason = f": {job.reason}" if job.reason else ""
    if job.state is JobState.HELD:
        return f"It is held{reason}"
    if job.state in LEASED:
        return f"It does not wait: attempt {job.attempt} is {job.state.value} at {job.site or 'an unknown site'}"
    assert job.state in FINAL  # noqa: S101 - the states are waiting, held, leased and final
    return f"It is over: {job.state.value}{reason}"


def _failures(looked: Sequence[Looked], community: str) -> tuple[NeedFailure, ...]:
    """How many fail each need, and who comes nearest among those that the community may know of."""
    missed: dict[tuple[str, str], list[tuple[Looked, Miss]]] = {}
    for one in looked:
        for miss in one.misses:
            missed.setdefault((miss.need, miss.asked if miss.need == "limit" else ""), []).append((one, miss))
    return tuple(
        NeedFailure(
            need=need,
            asked=found[0][1].asked,
            pilots=_count_of([one for one, _ in found], pilots=True),
            queues=_count_of([one for one, _ in found], pilots=False),
            example=_example([pair for pair in found if pair[0].candidate.is_known_to(community)]),
        )
        for (need, _), found in missed.items()
    )


def _example(found: Sequence[tuple[Looked, Miss]]) -> str:
    if not found:
        return ""
    one, miss = min(found, key=lambda pair: pair[1].lack)
    return f"{one.candidate.name}: {miss.offered}"


def _summary(
    looked: Sequence[Looked], pilots: int, queues: str, found: Sequence[NeedFailure], ahead: int | None
) -> str:
    if not looked:
        return "There is no live pilot and no configured queue"
    if pilots:
        turn = f"{_count(ahead, 'job')} of its owner before it" if ahead else "it is the next of its owner"
        return f"It fits {_count(pilots, 'live pilot')} as they are now: {turn}"
    if kept := [one for one in looked if one.misses and all(miss.need == "limit" for miss in one.misses)]:
        full = dict.fromkeys(f"{miss.asked} ({miss.offered})" for one in kept for miss in one.misses)
        return f"It would fit, and waits for {'; '.join(full)}"
    if doubted := [one for one in looked if one.misses and all(miss.need == "machine" for miss in one.misses)]:
        many = _count(sum(one.candidate.count for one in doubted), "live pilot")
        first = doubted[0].candidate
        return f"It would fit {many}, and waits: the machine of {first.name} is {first.barred}"
    if bound := [one for one in looked if one.misses and all(miss.need == "bound" for miss in one.misses)]:
        many = _count(sum(one.candidate.count for one in bound), "live pilot")
        said = f"No live pilot has room for it now, but for {many} at work for another community alone"
        return f"{said}; {queues}" if queues else said
    if queues:
        return f"No live pilot has room for it now{_by_policy(looked)}; {queues}"
    every = sum(one.candidate.count for one in looked)
    everywhere = [one for one in found if one.pilots + one.queues == every]
    if everywhere:
        return f"Nothing here offers {' or '.join(one.asked for one in everywhere)}"
    return "Nothing here meets all of its needs at once"


def _by_policy(looked: Sequence[Looked]) -> str:
    """What the site's policy keeps it from, at the pilot that lacks least besides."""
    found = [one for one in looked if {miss.need for miss in one.misses} & {need for need, _ in one.candidate.cuts}]
    nearest = min(found, key=lambda one: distance(one.misses), default=None)
    return f": at {nearest.candidate.name} it {_sentence(nearest.misses)}" if nearest else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


# -- a pilot ----------------------------------------------------------------------------------------------------------


def explain_agents(
    pilot: PilotRow, now: Circumstances, waiting: Iterable[tuple[TaskQueue, int]], barred: str = ""
) -> PilotExplanation:
    """Why a pilot got nothing, whose agents are the candidates. `barred`: what is `suspected` of its machine."""
    if problem := _not_matching(pilot, now.candidates, barred):
        return PilotExplanation(pilot.stamp, pilot.state, problem, waiting=sum(jobs for _, jobs in waiting))
    total = fitting = 0
    missed: dict[str, list[tuple[TaskQueue, int, Miss]]] = {}
    nearest: tuple[Miss, ...] = ()
    for queue, jobs in waiting:
        misses = min((one.misses for one in look(queue, now)), key=distance)
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


def suspected(suspicion: Suspicion | None, now: float) -> str:
    """Why a machine gets no job now, by the database's time; empty when it may have one."""
    if suspicion is None or (now >= suspicion.next and not suspicion.trying):
        return ""
    since = show_duration(max(0, round(now - suspicion.suspected)))
    why = f"suspect for {since}: {_count(suspicion.failures, 'job')} failed there, one after another"
    if suspicion.trying:
        return f"{why}, and one tries it now"
    return f"{why}; another one tries it in {show_duration(max(1, round(suspicion.next - now)))}"


def _need(need: str, found: Sequence[tuple[TaskQueue, int, Miss]]) -> NeedFailure:
    miss = min((miss for _, _, miss in found), key=lambda miss: miss.lack)
    jobs = sum(jobs for _, jobs, _ in found)
    return NeedFailure(need, miss.asked, 1, len(found), f"the nearest {miss}", jobs)


def _not_matching(pilot: PilotRow, agents: Sequence[Candidate], barred: str) -> str:
    """Why nothing is matched to the pilot, whatever waits; empty when something could be."""
    if pilot.state not in LIVE_PILOT:
        why = f" ({pilot.reason.value})" if pilot.reason else ""
        return f"It is over: {pilot.state.value}{why}"
    if pilot.state is PilotState.DRAINING:
        why = next((f", since {fact.value}" for fact in pilot.facts if fact.name == "drain" and fact.value), "")
        return f"It drains: it takes no new jobs{why}"
    if pilot.state not in WORKING:
        return f"It has not called back yet: it is {pilot.state.value}"
    if pilot.alarm:
        return f"It gets no jobs until somebody has looked at its alarm: {pilot.alarm}"
    if barred:
        return f"It gets no job now: the machine is {barred}"
    return "" if agents else "It has not asked for jobs yet"


def _pilot_summary(pilot: PilotRow, total: int, fitting: int, nearest: Sequence[Miss]) -> str:
    if not total:
        alone = ", which it serves alone," if pilot.bound else ""
        return f"No job of {' or '.join(serves(pilot))}{alone} waits"
    if fitting:
        return f"{_count(fitting, 'waiting job')} would fit: it gets some when it asks the next time"
    return f"None of {_count(total, 'waiting job')} fits; the nearest {_sentence(nearest)}"
