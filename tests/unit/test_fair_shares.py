"""Shares over time, played with a clock of paper: who gets how much of a pool of cores that is always busy."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from central.configuration.settings import Community, Group
from central.matching.choosing import Chooser
from central.matching.matcher import Free
from central.matching.reservations import LOOK, TURN, Reservation, Reservations
from central.matching.shares import Standings
from central.matching.task_queues import Choice, TaskQueues
from central.records import Consumed, TaskQueue, Waiting
from pilot.protocol import Needs, Offer
from tests.unit.clockwork import Clockwork

HALF_LIFE = 4 * 3600.0
REFRESH = 10.0
PLENTY = 1_000_000


@dataclass
class Owner:
    """What the store knows of one owner."""

    used: float = 0.0
    cores: int = 0
    at: float = 0.0

    def pass_on(self, now: float) -> None:
        passed = now - self.at
        self.used = self.used * 2 ** (-passed / HALF_LIFE) + self.cores * passed
        self.at = now


@dataclass
class Pool:
    """Pilots of some cores each, over one store, and matchers that see each other's use only when they refresh."""

    communities: tuple[Community, ...]
    pilots: int
    cores: int = 1  # of one pilot
    batch: int = 1  # cores that must be free before a pilot asks
    matchers: int = 1
    refresh: float = REFRESH
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.now = 0.0
        self.owners: dict[tuple[str, str, str], Owner] = defaultdict(Owner)
        self.indices = [TaskQueues(Standings(self.communities, HALF_LIFE)) for _ in range(self.matchers)]
        self.free = [self.cores] * self.pilots
        self.events: list[tuple[float, int, int, tuple[str, str, str] | None, int]] = []
        self.numbers = itertools.count()
        self.given: dict[tuple[str, str, str], float] = defaultdict(float)  # core-seconds, when they started
        for number in range(self.matchers):
            self._later(self.refresh * number / self.matchers, number, None, 0)

    def submit(self, *path: str, id: int, jobs: int = PLENTY, cores: int = 1) -> None:
        queue = TaskQueue(id, *path, Needs(cores=cores, max_cores=cores, wall_time=0))
        for index in self.indices:
            index.add([Waiting(queue, {5: jobs}, id)])

    def run(self, seconds: float) -> Mapping[tuple[str, str, str], float]:
        """Go on for so long; returns the core-seconds that each owner was given meanwhile."""
        self.given.clear()
        end = self.now + seconds
        for pilot in range(self.pilots):
            self._ask(pilot)
        while self.events and self.events[0][0] <= end:
            self.now, _, number, owner, cores = heapq.heappop(self.events)
            if owner is None:
                self._refresh(number)
                continue
            self.owners[owner].pass_on(self.now)
            self.owners[owner].cores -= cores
            self.free[number] += cores
            if self.free[number] >= self.batch:
                self._ask(number)
        self.now = end
        return self.given

    def _later(self, seconds: float, number: int, owner: tuple[str, str, str] | None, cores: int) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), number, owner, cores))

    def _refresh(self, number: int) -> None:
        for owner in self.owners.values():
            owner.pass_on(self.now)
        standings = self.indices[number].standings
        standings.asking()
        standings.load([Consumed(*path, one.used, one.cores) for path, one in self.owners.items()], self.now)
        self._later(self.refresh, number, None, 0)

    def _ask(self, pilot: int) -> None:
        index = self.random.choice(self.indices)
        index.advance(self.now)
        communities = tuple(dict.fromkeys(queue.community for queue, _ in index.queues()))
        node = Offer("s", "q", cores=self.free[pilot], seconds_left=0, communities=communities)
        choice = index.choose(node, self.cores)
        for taken in choice.taken:
            queue = index.task(taken.queue)
            assert queue is not None
            owner = (queue.community, queue.group, queue.owner)
            for _ in range(taken.count):
                seconds = self.random.uniform(60, 1200)
                self.owners[owner].pass_on(self.now)
                self.owners[owner].cores += taken.cores
                self.free[pilot] -= taken.cores
                self.given[owner] += seconds * taken.cores
                self._later(seconds, pilot, owner, taken.cores)


def parts(given: Mapping[tuple[str, str, str], float], step: int) -> dict[str, float]:
    """The part of all core-seconds that went to each community (0), group (1) or owner (2)."""
    whole = sum(given.values())
    found: dict[str, float] = defaultdict(float)
    for path, seconds in given.items():
        found[path[step]] += seconds / whole
    return dict(found)


THREE_TO_ONE = (Community("c", 1.0, (Group("big", 3.0), Group("small", 1.0))),)


@pytest.mark.parametrize(
    "pool",
    [
        Pool(THREE_TO_ONE, pilots=40),
        Pool(THREE_TO_ONE, pilots=4, cores=16, batch=8),
        Pool(THREE_TO_ONE, pilots=40, matchers=2, refresh=30.0),
    ],
    ids=["single", "batches", "two-matchers"],
)
def test_two_groups_three_to_one(pool: Pool) -> None:
    """Two groups that are always busy get 75 and 25 percent of the core-seconds, to within 3 percent."""
    pool.submit("c", "big", "ada", id=1)
    pool.submit("c", "small", "bob", id=2)
    pool.run(3600)
    given = parts(pool.run(8 * 3600), 1)
    assert given["big"] == pytest.approx(0.75, abs=0.03)


def test_wide_and_narrow_jobs_are_shared_by_cores() -> None:
    """What counts is cores and time, not the number of jobs."""
    pool = Pool(THREE_TO_ONE, pilots=8, cores=8, batch=4)
    pool.submit("c", "big", "ada", id=1)
    pool.submit("c", "small", "bob", id=2, cores=2)
    pool.run(3600)
    assert parts(pool.run(8 * 3600), 1)["big"] == pytest.approx(0.75, abs=0.03)


def test_a_share_that_is_not_used_flows_to_the_others() -> None:
    """A group alone gets everything, and when the other comes the shares hold again before long."""
    pool = Pool(THREE_TO_ONE, pilots=40)
    pool.submit("c", "small", "bob", id=2)
    assert parts(pool.run(2 * 3600), 1) == {"small": pytest.approx(1.0)}
    pool.submit("c", "big", "ada", id=1)
    pool.run(4 * HALF_LIFE)
    assert parts(pool.run(8 * 3600), 1)["big"] == pytest.approx(0.75, abs=0.03)


def test_a_share_that_changes_counts_for_what_is_given_from_then_on() -> None:
    """Somebody says that the groups are due one to three from now on: once the use before has decayed, they have it."""
    pool = Pool(THREE_TO_ONE, pilots=40)
    pool.submit("c", "big", "ada", id=1)
    pool.submit("c", "small", "bob", id=2)
    pool.run(2 * 3600)
    for index in pool.indices:
        index.standings.share((Community("c", 1.0, (Group("big", 1.0), Group("small", 3.0))),))
    at_once = parts(pool.run(1800), 1)
    assert at_once.get("small", 0.0) > 0.9
    pool.run(4 * HALF_LIFE)
    assert parts(pool.run(8 * 3600), 1)["small"] == pytest.approx(0.75, abs=0.03)


def test_three_steps() -> None:
    """Communities by their shares, within each the groups by theirs, within each group the owners alike."""
    communities = (Community("c", 2.0, (Group("x", 3.0), Group("y", 1.0))), Community("d", 1.0))
    pool = Pool(communities, pilots=60)
    for id, path in enumerate([("c", "x", "p"), ("c", "x", "q"), ("c", "y", "r"), ("d", "z", "s")], 1):
        pool.submit(*path, id=id)
    pool.run(3600)
    given = parts(pool.run(10 * 3600), 2)
    assert given == {
        "p": pytest.approx(0.25, abs=0.03),
        "q": pytest.approx(0.25, abs=0.03),
        "r": pytest.approx(1 / 6, abs=0.03),
        "s": pytest.approx(1 / 3, abs=0.03),
    }


def test_a_newcomer_is_not_given_everything_for_ever() -> None:
    """Who comes after others have used much goes first for about a half-life, and then has its share and no more."""
    pool = Pool((), pilots=30)
    pool.submit("c", "g", "old", id=1)
    pool.run(4 * HALF_LIFE)
    pool.submit("c", "g", "new", id=2)
    at_first = parts(pool.run(HALF_LIFE / 2), 2)
    assert at_first["new"] > 0.9
    pool.run(2 * HALF_LIFE)
    assert parts(pool.run(HALF_LIFE), 2)["old"] == pytest.approx(0.5, abs=0.05)


# -- wide jobs --------------------------------------------------------------------------------------------------------


class NoReservations(Reservations):
    """A chooser with these keeps no pilot for anybody."""

    def keep(self, stamp: str, agent: int, queue: TaskQueue, free: Free, now: float) -> Reservation | None:
        return None


@dataclass
class Node:
    """A pilot of eight cores: what a chooser sees of it."""

    stamp: str
    left: int = 8
    agent: int = 1
    most: int = 8

    @property
    def offer(self) -> Offer:
        return Offer("s", "q", cores=self.left, seconds_left="unlimited", communities=("c",), empty=self.left == 8)

    @property
    def free(self) -> Free:
        return Free.of(self.offer)


LONGEST = 900.0


def start_of_wide(reservations: Reservations, until: float, wide: Needs) -> float | None:
    """When a wide job started that came to a pool full of narrow ones, of which there is no end; None: not until
    then."""
    rng, clock = random.Random(3), Clockwork()
    queues = TaskQueues()
    chooser = Chooser(queues, reservations, clock)
    nodes = [Node(f"{number:032x}") for number in range(6)]
    ends: list[tuple[float, int, int]] = []
    queues.add([Waiting(TaskQueue(1, "c", "g", "narrow", Needs(wall_time=0)), {5: PLENTY}, 1)])

    def ask(node: Node) -> Iterable[Choice]:
        reservations.offered(node.stamp, 1, 1, node.free)
        choice = chooser.choose(node)
        for taken in choice.taken:
            node.left -= taken.count * taken.cores
            for _ in range(taken.count):
                heapq.heappush(ends, (clock.now() + rng.uniform(60, LONGEST), nodes.index(node), taken.cores))
            if taken.queue == 2:
                yield choice

    for node in nodes:
        assert not list(ask(node))
    came = clock.now()
    queues.add([Waiting(TaskQueue(2, "c", "g", "wide", wide), {5: 1}, 2)])
    while ends and ends[0][0] < came + until:
        clock.time, number, cores = heapq.heappop(ends)
        nodes[number].left += cores
        if list(ask(nodes[number])):
            return clock.now() - came
    return None


@pytest.mark.parametrize(
    "wide",
    [Needs(cores=8, max_cores=8, wall_time=0), Needs(whole_node=True, wall_time=0), Needs(cores=6, wall_time=0)],
    ids=["all-cores", "whole-node", "six-cores"],
)
def test_a_wide_job_starts_in_bounded_time(wide: Needs) -> None:
    """In an endless stream of narrow jobs a wide one starts when a pilot kept for it has run out of them."""
    started = start_of_wide(Reservations(), 6 * 3600, wide)
    assert started is not None
    assert started <= TURN + LOOK + 2 * LONGEST


def test_without_reservations_a_wide_job_waits_on() -> None:
    """What the reservations are for: in the same stream, a job for all cores of a pilot does not start in hours."""
    assert start_of_wide(NoReservations(), 6 * 3600, Needs(cores=8, max_cores=8, wall_time=0)) is None
