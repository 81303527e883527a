"""The contract of a store and the matcher together: shares come out as configured, by the store's own accounts."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from central.configuration.settings import Community, Group
from central.dispatching.dispatch import Dispatcher
from central.fleet.presence import Presence
from central.matching.shares import Standings
from central.records import Identity, Leased, PilotRow
from central.store.port import Store
from pilot.protocol import UNLIMITED, MatchRequest, Offer, Usage
from tests.contract.stores import Clock, Worker, enrol, submit
from tests.unit.clockwork import Clockwork

pytestmark = pytest.mark.anyio

SHARES = (Community("atlas", 1.0, (Group("big", 3.0), Group("small", 1.0))),)
BIG = Identity("ada", "atlas", "big", "member")
SMALL = Identity("bob", "atlas", "small", "member")
#: Seconds between two looks at the pool, which are also those between two readings of what was used.
TICK = 20.0
CORES = 4  # of each pilot


@dataclass
class Pool:
    """Pilots that are always busy, served in turn by two matchers over one store. Jobs take a core and some minutes."""

    store: Store
    clock: Clock
    workers: list[tuple[Worker, PilotRow]]
    half_life: float = 1800.0
    random: random.Random = field(default_factory=lambda: random.Random(11))
    runs: list[tuple[float, float, Worker, Leased]] = field(default_factory=list)  # start, end, where, what
    won: dict[str, int] = field(default_factory=dict)  # group → matches

    def __post_init__(self) -> None:
        self.time = Clockwork()
        self.matchers = [
            Dispatcher(
                self.store,
                Presence(self.time.now),
                self.time,
                100,
                self.random.random,
                Standings(SHARES, self.half_life),
            )
            for _ in range(2)
        ]

    async def begin(self) -> None:
        for matcher in self.matchers:
            await matcher.start()
            await matcher.refresh_use()
        await self._fill()

    async def run(self, matches: int) -> dict[str, int]:
        """Go on until so many more jobs were matched; how many of each group."""
        self.won.clear()
        while sum(self.won.values()) < matches:
            self.clock.forward(TICK)
            await self.time.advance(TICK)
            over = [run for run in self.runs if run[1] <= self.clock.time]
            self.runs = [run for run in self.runs if run[1] > self.clock.time]
            await asyncio.gather(*(self._end(*run) for run in over))
            for matcher in self.matchers:
                await matcher.refresh_use()
            await self._fill()
        return dict(self.won)

    async def _end(self, start: float, end: float, worker: Worker, leased: Leased) -> None:
        await worker.ended(leased, usage=Usage(wall=end - start))

    async def _fill(self) -> None:
        """All pilots with a free core ask at the same time."""
        await asyncio.gather(*(self._ask(worker, row) for worker, row in self.workers))

    async def _ask(self, worker: Worker, row: PilotRow) -> None:
        free = CORES - sum(run[2] is worker for run in self.runs)
        if not free:
            return
        worker.number += 1
        offer = Offer("here", "local", cores=free, seconds_left=UNLIMITED, communities=("atlas",))
        matcher = self.matchers[worker.number % 2]
        answer = await matcher.match(row, MatchRequest(worker.number, offer, most=free))
        assert len(answer.leases) == free, answer
        for leased in answer.leases:
            self.won[leased.group] = self.won.get(leased.group, 0) + 1
            now = self.clock.time
            self.runs.append((now, now + self.random.uniform(60, 600), worker, leased))


async def pool(store: Store, clock: Clock, pilots: int, half_life: float = 1800.0) -> Pool:
    workers = [await enrol(store, number) for number in range(pilots)]
    made = Pool(store, clock, [(worker, await store.pilot(worker.stamp)) for worker in workers], half_life)
    await made.begin()
    return made


async def used(store: Store, since: float) -> dict[str, float]:
    """group → core-seconds of what ended since."""
    rows = await store.usage("atlas", by=("group",), since=since, until=since + 1e7, span=None)
    return {row.keys[0]: row.core_seconds for row in rows}


async def test_two_groups_three_to_one(store: Store, clock: Clock) -> None:
    """Of 2,000 matches that two matchers give to groups of shares 3 and 1, 75 percent go to the first, within 3, and
    so do the core-seconds that the store has written down."""
    await submit(store, 3500, BIG)
    await submit(store, 3500, SMALL)
    busy = await pool(store, clock, 30)
    await busy.run(500)  # as much as was used before shares held
    began = clock.time
    won = await busy.run(2000)
    assert won["big"] / sum(won.values()) == pytest.approx(0.75, abs=0.03)
    seconds = await used(store, began)
    assert seconds["big"] / sum(seconds.values()) == pytest.approx(0.75, abs=0.03)


async def test_what_one_does_not_use_flows_to_the_other(store: Store, clock: Clock) -> None:
    """While one group has no jobs the other gets every core; when it comes, both have their shares again."""
    await submit(store, 2000, SMALL)
    alone = await pool(store, clock, 24, half_life=600)
    assert set(await alone.run(150)) == {"small"}
    await submit(store, 2000, BIG)
    for matcher in alone.matchers:
        await matcher.refresh()
    await alone.run(800)  # about four half-lives: what was used alone is nearly forgotten
    won = await alone.run(500)
    assert won["big"] / sum(won.values()) == pytest.approx(0.75, abs=0.05)
