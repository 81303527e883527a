"""The law of pilots whose payloads share an account, tried with two centrals over one store: none is ever given jobs of
two communities, whoever asks where and knows what; and no job is lost over it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from central.dispatching.dispatch import Dispatcher
from central.dispatching.held import Answer
from central.fleet.presence import Presence
from central.records import Leased, PilotRow
from central.store.port import Store
from pilot.protocol import UNLIMITED, MatchRequest, Offer
from tests.contract.stores import ADA, EVE, NARROW, STORES, Clock, Worker, enrol, submit
from tests.unit.clockwork import Clockwork

T = TypeVar("T")
BOTH = ("atlas", "lhcb")
#: The last of the pilots proves that each of its payloads is alone.
PILOTS, ISOLATED = (1, 2, 3), 3
#: Times that is asked for what waits, at the end.
PATIENT = 5
#: An agent that asks: at which central, of which pilot, which of them, with how many cores, for whom, by the newest row
#: or by the first, and whether its client goes away.
ASKS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(PILOTS),
    st.integers(1, 2),
    st.integers(1, 3),
    st.sampled_from([BOTH, BOTH, BOTH[:1], BOTH[1:]]),
    st.booleans(),
    st.booleans(),
)


class BoundMachine(RuleBasedStateMachine):
    """Asks, alone or at once, at centrals that do not hear each other, while jobs of two communities come and end."""

    kind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.store: Store = STORES[self.kind](Path(self.folder.name), Clock())
        self.run(self.store.open())
        clock = Clockwork()
        self.centrals = [Dispatcher(self.store, Presence(clock.now), clock, 100, lambda: 0.5) for _ in range(2)]
        self.workers: dict[int, Worker] = {}
        self.rows: dict[int, PilotRow] = {}
        self.out: list[tuple[Worker, Leased]] = []
        self.numbers: dict[tuple[int, int], int] = {}
        self.served: dict[int, set[str]] = {number: set() for number in PILOTS}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.nothing_is_lost())
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    async def nothing_is_lost(self) -> None:
        """A central knows of all that waits, without reading it anew, and gives it to one who may have it. What it
        still claims for clients that have gone may come between."""
        for _ in range(PATIENT):
            await self.ask(0, ISOLATED, 1, 1000, BOTH, True, False)
            if not any(sum(waiting.counts.values()) for waiting in await self.store.waiting()):
                return
        raise AssertionError("a job waits that the central does not know of")

    # -- what happens

    @initialize()
    def begin(self) -> None:
        for number in PILOTS:
            self.workers[number] = self.run(enrol(self.store, number, communities=BOTH))
            self.rows[number] = self.run(self.store.pilot(self.workers[number].stamp))

    @rule(ours=st.integers(0, 3), theirs=st.integers(0, 3), priority=st.sampled_from([0, 5, 9]))
    def more_jobs(self, ours: int, theirs: int, priority: int) -> None:
        for who, count in ((ADA, ours), (EVE, theirs)):
            if count:
                self.run(submit(self.store, count, who, priority=priority, needs=NARROW))
        for central in self.centrals:
            self.run(central.refresh())

    @rule(asks=st.lists(ASKS, min_size=1, max_size=4))
    def some_ask(self, asks: list[tuple[int, int, int, int, tuple[str, ...], bool, bool]]) -> None:
        async def at_once() -> None:
            await asyncio.gather(*(self.ask(*each) for each in asks))

        self.run(at_once())

    @rule(central=st.integers(0, 1))
    def counts_are_read(self, central: int) -> None:
        self.run(self.centrals[central].refresh())

    @rule(which=st.integers(0, 50))
    def one_ends(self, which: int) -> None:
        if self.out:
            worker, leased = self.out.pop(which % len(self.out))
            self.run(worker.ended(leased))

    async def ask(
        self, central: int, pilot: int, agent: int, cores: int, whose: tuple[str, ...], fresh: bool, goes: bool
    ) -> None:
        worker = self.workers[pilot]
        row = await self.store.pilot(worker.stamp) if fresh else self.rows[pilot]
        number = self.numbers[pilot, agent] = self.numbers.get((pilot, agent), 0) + 1
        offer = Offer(
            site="here",
            queue="local",
            cores=cores,
            memory=100,
            disk=0,
            seconds_left=UNLIMITED,
            communities=whose,
            isolation=pilot == ISOLATED,
        )
        request = MatchRequest(number, offer, agent=agent, most=cores)
        asked = asyncio.create_task(self.centrals[central].match(row, request))
        if goes:
            await asyncio.sleep(0)
            asked.cancel()
        answer = (await asyncio.gather(asked, return_exceptions=True))[0]
        if isinstance(answer, Answer):
            self.out += [(worker, leased) for leased in answer.leases]
        elif not isinstance(answer, asyncio.CancelledError):
            raise AssertionError(answer)

    # -- the law

    @invariant()
    def one_community_a_pilot(self) -> None:
        for number, worker in self.workers.items():
            if number != ISOLATED:
                self.served[number] |= {live.community for live in self.run(self.store.held(worker.stamp))}
                assert len(self.served[number]) <= 1
                assert self.served[number] <= {self.run(self.store.pilot(worker.stamp)).bound}


class PostgresMachine(BoundMachine):
    kind = "postgres"


TestSqlite = BoundMachine.TestCase
TestSqlite.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
TestPostgres = PostgresMachine.TestCase
TestPostgres.settings = settings(max_examples=5, stateful_step_count=15, deadline=None)
