"""Directors of queues that fit the same jobs and cost more or less: who starts pilots for them."""

from __future__ import annotations

import pytest

from central.directors.board import Board, Wait
from central.directors.control import Cause, Limits
from central.directors.site import SiteDirector
from central.elements.port import ComputingError, Trouble
from central.store.port import Store
from tests.contract.stores import Clock
from tests.contract.test_directors import leading
from tests.director_scene import Work, director
from tests.fake_element import FakeElement

pytestmark = pytest.mark.anyio

ROOM = Limits(slots=10, per_cycle=10, cores=1)
TWO = Limits(slots=2, per_cycle=10, cores=1)
FULL = ComputingError("Quota exceeded for instances", Trouble.FULL)
FIVE = [Wait(1, 5, 1.0)]


class Pair:
    """Two queues, the first of which costs less; nothing waits when they look first."""

    def __init__(self, store: Store, clock: Clock, hours: tuple[float | None, float | None], limits: Limits) -> None:
        self.board = Board()
        self.elements = (FakeElement(clock), FakeElement(clock))
        self.works = (Work(waits=[], hour=hours[0]), Work(waits=[], hour=hours[1]))
        self.cheap: SiteDirector = director(
            store, self.elements[0], self.works[0], limits, board=self.board, name="cheap"
        )
        self.dear: SiteDirector = director(store, self.elements[1], self.works[1], ROOM, board=self.board, name="dear")

    async def five_jobs(self, epoch: int) -> None:
        await self.cheap.cycle(epoch)
        await self.dear.cycle(epoch)
        for work in self.works:
            work.waits = FIVE

    async def rounds(self, epoch: int, *order: SiteDirector) -> None:
        """Two turns of each: at the first they see the jobs."""
        for one in (*order, *order):
            await one.cycle(epoch)


async def test_the_cheaper_queue_goes_first(store: Store, clock: Clock) -> None:
    """Of two queues with room the dearer one starts nothing, and says so, also where it looks first."""
    epoch = await leading(store)
    pair = Pair(store, clock, (0.02, 0.10), ROOM)
    await pair.five_jobs(epoch)
    await pair.rounds(epoch, pair.dear, pair.cheap)
    assert pair.cheap.decision.pilots == 5
    assert pair.dear.decision.pilots == 0
    assert pair.dear.decision.why == "cheaper queues come first for the 5 jobs that wait"


async def test_what_the_cheaper_queue_has_no_room_for_goes_to_the_dearer(store: Store, clock: Clock) -> None:
    """A cheap queue takes what its slots allow, and the dear one the rest."""
    epoch = await leading(store)
    pair = Pair(store, clock, (0.02, 0.10), TWO)
    await pair.five_jobs(epoch)
    await pair.rounds(epoch, pair.cheap, pair.dear)
    assert (pair.cheap.decision.pilots, pair.dear.decision.pilots) == (2, 3)


async def test_the_dearer_steps_in_where_the_cheaper_is_refused(store: Store, clock: Clock) -> None:
    """When the cheap queue's cloud has no capacity the dear one starts machines in its next turn."""
    epoch = await leading(store)
    pair = Pair(store, clock, (0.02, 0.10), ROOM)
    await pair.five_jobs(epoch)
    pair.elements[0].trouble["submit"] = FULL
    await pair.rounds(epoch, pair.cheap, pair.dear)
    assert pair.cheap.decision.cause is Cause.FULL
    await pair.rounds(epoch, pair.cheap, pair.dear)
    assert (pair.cheap.decision.pilots, len(pair.elements[1].live)) == (0, 5)


async def test_a_machine_is_bought_when_the_cluster_is_full(store: Store, clock: Clock) -> None:
    """A queue that is there anyway goes before one that costs something."""
    epoch = await leading(store)
    pair = Pair(store, clock, (None, 0.10), TWO)
    await pair.five_jobs(epoch)
    await pair.rounds(epoch, pair.dear, pair.cheap)
    await pair.dear.cycle(epoch)
    assert [len(element.live) for element in pair.elements] == [2, 3]


async def test_what_costs_money_is_not_started_at_a_first_look(store: Store, clock: Clock) -> None:
    """A director that sees jobs for the first time lets others look at them before it pays for machines."""
    epoch = await leading(store)
    work = Work(waits=FIVE, hour=0.10)
    dear = director(store, FakeElement(clock), work, ROOM, name="dear")
    await dear.cycle(epoch)
    assert (dear.decision.pilots, dear.decision.cause) == (0, Cause.ELSEWHERE)
    await dear.cycle(epoch)
    assert dear.decision.pilots == 5


async def test_queues_that_cost_the_same_share_as_ever(store: Store, clock: Clock) -> None:
    """Between two clusters it is who looks first."""
    epoch = await leading(store)
    pair = Pair(store, clock, (None, None), ROOM)
    await pair.five_jobs(epoch)
    await pair.dear.cycle(epoch)
    await pair.cheap.cycle(epoch)
    assert (pair.cheap.decision.pilots, pair.dear.decision.pilots) == (0, 5)
