"""Queues, jobs and pilots in virtual time, with the directors' own decisions: how much of the pilots' time is idle.

Pure: the same seed gives the same jobs, the same waits in the batch queues and the same figures. A job runs at once
where a running pilot has a core for it; pilots wait in their batch queue, take jobs until none has come for as long as
`idle` says, and end. A clairvoyant submitter is one that knows when which job will come, how long it will run and how
long a batch queue will take: its pilots are there in the moment in which a job finds no free core, and end with their
last job.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from bench.load import GB, Load
from central.directors.backoff import Past, PilotEnd
from central.directors.board import PROMISE, Board, Wait, demand
from central.directors.control import Cause, Decision, Limits, Supply, wanted
from central.directors.site import SECOND_LOOK
from central.matching.matcher import fits
from central.records import TaskQueue
from pilot.protocol import Offer
from pilot.states import PilotReason

#: What a decision says when the jobs that it saw are served as far as they can be.
_ANSWERED = {Cause.SENT, Cause.COMING, Cause.ELSEWHERE, Cause.IDLE}
HISTORY = 20


class Policy(Enum):
    """Who sends pilots."""

    OURS = "our directors"
    ALONE = "the same, each for all the jobs that it sees"  # without the board
    CLAIRVOYANT = "a clairvoyant submitter"


@dataclass(frozen=True)
class World:
    """What is simulated. Seconds."""

    queues: int = 24
    slots: int = 60  # pilots of each
    cores: int = 8  # of each pilot
    ramp: int = 10
    cycle: float = 30.0
    batch_wait: float = 300.0  # mean; exponential
    idle: float = 300.0
    jobs: int = 10_000
    burst: int = 20  # jobs that come together, mean
    span: float = 86400.0  # in which they come
    longest: float = 6 * 3600.0  # run
    seed: int = 20_260_328


@dataclass(frozen=True)
class Job:
    at: float
    task: int
    runs: float


@dataclass(eq=False)
class Pilot:
    queue: int
    sent: float
    began: float | None = None
    ended: float | None = None
    free: int = 0
    busy: float = 0.0  # core-seconds
    jobs: int = 0
    idle_since: float = 0.0

    @property
    def lived(self) -> float:
        return self.ended - self.began if self.began is not None and self.ended is not None else 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    pilots: int
    empty_handed: int  # pilots without a job
    held: float  # core-seconds of running pilots
    idle: float  # of these, those in which nothing ran
    waits: Sequence[float]  # of every job, until it ran
    requests: Sequence[float]  # of jobs that found no free core: until a director had sent pilots, or had some coming

    @property
    def idle_part(self) -> float:
        return self.idle / self.held

    @property
    def last_request(self) -> float:
        return max(self.requests, default=0.0)

    @property
    def usual_wait(self) -> float:
        return statistics.median(self.waits)


@dataclass
class _Queue:
    fits: list[int]
    pilots: list[Pilot] = field(default_factory=list)  # live
    need: int | None = None
    wanting: float | None = None
    history: list[PilotEnd] = field(default_factory=list)  # newest first


def jobs(world: World, load: Load, kinds: Sequence[int]) -> list[Job]:
    """What comes when: bursts of one task queue of the load each, as likely as it has jobs; run times are drawn from
    what its jobs may take."""
    rng = random.Random(world.seed)
    weights = [load.sweeps[kind].jobs for kind in kinds]
    found: list[Job] = []
    while len(found) < world.jobs:
        (kind,) = rng.choices(kinds, weights)
        at = rng.uniform(0, world.span)
        for _ in range(min(1 + int(rng.expovariate(1 / world.burst)), world.jobs - len(found))):
            most = min(world.longest, load.sweeps[kind].needs.wall_time)
            found.append(Job(at, kind, rng.uniform(0.05, 0.9) * most))
    return sorted(found, key=lambda job: job.at)


def offers(world: World, load: Load) -> list[Offer]:
    """What a pilot of each queue offers: nodes of the load's sites, several cores of them."""
    nodes = load.offers[:: max(1, len(load.offers) // world.queues)][: world.queues]
    cores = world.cores
    return [replace(node, cores=cores, memory=4 * GB * cores, disk=40 * GB * cores) for node in nodes]


class Simulation:
    """One run under one policy."""

    def __init__(self, world: World, load: Load, policy: Policy) -> None:
        self.world = world
        self.policy = policy
        self.now = 0.0
        self._rng = random.Random(world.seed + 1)  # of the batch queues
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        nodes = offers(world, load)
        tasks = [
            TaskQueue(number, sweep.who.community, sweep.who.group, sweep.who.user, sweep.needs)
            for number, sweep in enumerate(load.sweeps)
        ]
        self._queues = [_Queue([task.id for task in tasks if fits(task, node)]) for node in nodes]
        self._of_task: dict[int, list[int]] = {}
        for number, queue in enumerate(self._queues):
            for task in queue.fits:
                self._of_task.setdefault(task, []).append(number)
        self._jobs = jobs(world, load, sorted(self._of_task))
        self._waiting: dict[int, deque[Job]] = {}
        self._answered: set[int] = set()  # jobs, by identity
        self._board = Board()
        self._left = len(self._jobs)
        self._over: list[Pilot] = []
        self._waits: list[float] = []
        self._requests: list[float] = []

    def run(self) -> Outcome:
        for job in self._jobs:
            self._at(job.at, lambda job=job: self._arrive(job))  # type: ignore[misc]
        if self.policy is not Policy.CLAIRVOYANT:
            for number in range(len(self._queues)):
                first = self.world.cycle * number / len(self._queues)
                self._at(first, lambda number=number: self._cycle(number))  # type: ignore[misc]
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()
        held = sum(self.world.cores * one.lived for one in self._over)
        busy = sum(one.busy for one in self._over)
        empty = sum(not one.jobs for one in self._over)
        return Outcome(len(self._over), empty, held, held - busy, self._waits, self._requests)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    # -- jobs -------------------------------------------------------------------------------------------------------
    def _arrive(self, job: Job) -> None:
        if pilot := self._free_for(job):
            self._start(pilot, job)
            return
        self._waiting.setdefault(job.task, deque()).append(job)
        if self.policy is Policy.CLAIRVOYANT:
            self._foresee(job.task)

    def _free_for(self, job: Job) -> Pilot | None:
        there = (pilot for number in self._of_task[job.task] for pilot in self._queues[number].pilots)
        return next((pilot for pilot in there if pilot.free), None)

    def _start(self, pilot: Pilot, job: Job) -> None:
        pilot.free -= 1
        pilot.jobs += 1
        pilot.busy += job.runs
        self._waits.append(self.now - job.at)
        self._at(self.now + job.runs, lambda: self._finish(pilot))

    def _finish(self, pilot: Pilot) -> None:
        pilot.free += 1
        self._left -= 1
        self._feed(pilot)

    def _feed(self, pilot: Pilot) -> None:
        """Give a pilot the jobs that have waited longest of those that fit."""
        fits = self._queues[pilot.queue].fits
        while pilot.free:
            heads = [waiting for task in fits if (waiting := self._waiting.get(task))]
            if not heads:
                break
            self._start(pilot, min(heads, key=lambda waiting: waiting[0].at).popleft())
        if pilot.free == self.world.cores:
            pilot.idle_since = self.now
            self._at(self.now + self._patience(pilot), lambda since=self.now: self._retire(pilot, since))  # type: ignore[misc]

    def _patience(self, pilot: Pilot) -> float:
        """Seconds for which a pilot waits that has nothing to do from now on."""
        return 0.0 if self.policy is Policy.CLAIRVOYANT else self.world.idle

    # -- pilots -----------------------------------------------------------------------------------------------------
    def _send(self, number: int, wait: float) -> None:
        pilot = Pilot(number, self.now)
        self._queues[number].pilots.append(pilot)
        self._at(self.now + wait, lambda: self._begin(pilot))

    def _delay(self) -> float:
        return self._rng.expovariate(1 / self.world.batch_wait)

    def _begin(self, pilot: Pilot) -> None:
        pilot.began, pilot.free = self.now, self.world.cores
        self._feed(pilot)

    def _retire(self, pilot: Pilot, since: float) -> None:
        if pilot.ended is not None or pilot.idle_since != since or pilot.free < self.world.cores:
            return
        pilot.ended, pilot.free = self.now, 0
        queue = self._queues[pilot.queue]
        queue.pilots.remove(pilot)
        end = PilotEnd(self.now, PilotReason.IDLE, pilot.jobs > 0, began=pilot.sent)
        queue.history = [end, *queue.history[: HISTORY - 1]]
        self._over.append(pilot)
        if self.policy is Policy.CLAIRVOYANT:  # there is a slot again
            for task in queue.fits:
                if self._waiting.get(task):
                    self._foresee(task)

    def _foresee(self, task: int) -> None:
        """A pilot that was sent in time is there now, where there is a slot."""
        there = [pilot for number in self._of_task[task] for pilot in self._queues[number].pilots]
        coming = sum(pilot.began is None for pilot in there) * self.world.cores
        numbers = [number for number in self._of_task[task] if len(self._queues[number].pilots) < self.world.slots]
        if numbers and len(self._waiting[task]) > coming:
            self._send(min(numbers, key=lambda number: len(self._queues[number].pilots)), 0.0)

    # -- directors --------------------------------------------------------------------------------------------------
    def _cycle(self, number: int) -> None:
        if self._look(number).cause is Cause.BRIEF:
            self._at(self.now + SECOND_LOOK, lambda: self._again(number))
        elif self._left:
            self._at(self.now + self.world.cycle, lambda: self._cycle(number))

    def _again(self, number: int) -> None:
        self._look(number)
        if self._left:
            self._at(self.now + self.world.cycle, lambda: self._cycle(number))

    def _look(self, number: int) -> Decision:
        queue, world = self._queues[number], self.world
        waiting = [Wait(task, len(found), 1.0) for task in queue.fits if (found := self._waiting.get(task))]
        left = self._board.left(str(number), waiting, self.now) if self.policy is Policy.OURS else tuple(waiting)
        coming = [pilot for pilot in queue.pilots if pilot.began is None]
        working = [pilot.began for pilot in queue.pilots if pilot.jobs and pilot.began is not None]
        supply = Supply(len(queue.pilots), len(coming), 0)
        limits = Limits(world.slots, world.ramp, world.cores)
        queue.wanting = (queue.wanting or self.now) if waiting else None
        past = Past(queue.history, None, max(working, default=None), queue.wanting, queue.need)
        decision = wanted(demand(waiting, left), supply, limits, past, self.now)
        queue.need = decision.need - decision.pilots
        fresh = sum(self.now - pilot.sent <= PROMISE for pilot in coming) + decision.pilots
        self._board.write(str(number), left, fresh * world.cores, self.now)
        for _ in range(decision.pilots):
            self._send(number, self._delay())
        self._answer(decision, waiting)
        return decision

    def _answer(self, decision: Decision, waiting: Sequence[Wait]) -> None:
        """The jobs that this director saw have their pilots asked for, as far as there is room."""
        if decision.cause not in _ANSWERED:
            return
        for job in itertools.chain.from_iterable(self._waiting[one.task] for one in waiting):
            if id(job) not in self._answered:
                self._answered.add(id(job))
                self._requests.append(self.now - job.at)
