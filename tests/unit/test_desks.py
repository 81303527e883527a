"""What the central keeps in memory beside the store: orders, rows of pilots, events, inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import pytest

from central.events import MAX_BEHIND, Hub, JobChanged
from central.fleet.orders import OrderDesk
from central.fleet.roster import FRESH, Roster
from central.keeping.inputs import Inputs
from central.records import Leased, LiveAttempt, OrderRow, PilotRow
from central.routes.work import check, next_beat
from central.store.port import Store
from central.trust.seal import PilotToken
from pilot.errors import InvalidInput, Refusal
from pilot.jobneeds import MAX_CORES
from pilot.protocol import Acknowledgement, InputFile, JobSpec, MatchRequest, Offer
from pilot.states import JobState, OrderVerb, Phase, PilotReason, PilotState
from tests.unit.pilot_rows import STAMP, pilot

T = TypeVar("T")
ROW = pilot(queue="local", lease=60, sequence=4)
TOKEN = PilotToken(STAMP, 1, b"k", 0.0, 1.0)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def refused(work: Coroutine[Any, Any, object]) -> str:
    with pytest.raises(Refusal) as caught:
        run(work)
    return caught.value.type


class Rows:
    """As much of a store as these ask for."""

    def __init__(self, *orders: OrderRow) -> None:
        self.rows = {order.id: order for order in orders}
        self.pilot_row = ROW
        self.reads = 0

    async def open_orders(self) -> tuple[OrderRow, ...]:
        return tuple(self.rows.values())

    async def orders(self, stamp: str) -> tuple[OrderRow, ...]:
        return tuple(row for row in self.rows.values() if row.stamp == stamp)

    async def order(self, stamp: str, verb: OrderVerb, **fields: Any) -> int:
        row = order(len(self.rows) + 1, verb=verb.value)
        self.rows[row.id] = row
        return row.id

    async def acknowledge(self, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
        for one in acknowledgements:
            if one.order in self.rows:
                self.rows[one.order] = replace(self.rows[one.order], received=1.0)

    async def pilot(self, stamp: str) -> PilotRow:
        self.reads += 1
        return self.pilot_row

    async def live_attempt(self, job: int, attempt: int) -> LiveAttempt:
        if attempt != 1:
            raise Refusal("stale-attempt", "over")
        return LiveAttempt(job, attempt, STAMP, "c", Phase.RUNNING, 7, 1, 1)

    async def answered(self, stamp: str, agent: int, request: int) -> tuple[Leased, ...]:
        assert (stamp, agent, request) == (STAMP, 1, 7)
        return (Leased(5, 1, 1, 5, 1, SPEC, "c", "g", "o"),)


SPEC = JobSpec(("x",), inputs=(InputFile("a", "f" * 64, 1),))


def order(number: int, *, verb: str = "drain", epoch: int = 1, job: int | None = None) -> OrderRow:
    attempt = None if job is None else 1
    return OrderRow(number, STAMP, epoch, verb, job, attempt, "", "why", "oli", 0.0, None, None, "")


def desk(rows: Rows) -> OrderDesk:
    return OrderDesk(cast(Store, rows))


def test_orders_are_told_until_they_were_received() -> None:
    """An order from before a restart, and a new one, are repeated until the pilot has received them."""

    async def story() -> None:
        orders = desk(Rows(order(1)))
        await orders.start()
        assert await orders.give(STAMP, OrderVerb.FLUSH, who="oli") == 2
        for _ in range(2):
            assert [one.id for one in orders.pending(STAMP, 1)] == [1, 2]
        await orders.acknowledge(STAMP, (Acknowledgement(1, "received"),))
        assert [one.id for one in orders.pending(STAMP, 1)] == [2]
        await orders.acknowledge(STAMP, (Acknowledgement(2, "done"), Acknowledgement(99, "done")))
        await orders.reload(STAMP)
        assert orders.pending(STAMP, 1) == ()

    run(story())


def test_orders_to_a_pilot_are_for_one_epoch() -> None:
    """After a resume an order to the pilot of before is not told; one to an attempt is."""

    async def story() -> None:
        orders = desk(Rows(order(1, epoch=1), order(2, epoch=1, verb="kill", job=7)))
        await orders.start()
        assert [one.id for one in orders.pending(STAMP, 2)] == [2]

    run(story())


def test_orders_to_an_attempt_die_with_it() -> None:
    """When an attempt has ended nobody is told to kill it."""

    async def story() -> None:
        orders = desk(Rows(order(1, verb="kill", job=7), order(2, verb="kill", job=8)))
        await orders.start()
        orders.attempt_ended(STAMP, 7, 1)
        assert [one.job for one in orders.pending(STAMP, 1)] == [8]
        orders.forget(STAMP)
        assert orders.pending(STAMP, 1) == ()

    run(story())


class Steady:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_rows_are_believed_for_a_few_seconds() -> None:
    """A row is read again after a while, or at once when something has changed it."""

    async def story() -> None:
        rows, clock = Rows(), Steady()
        roster = Roster(cast(Store, rows), clock)
        for _ in range(3):
            await roster.row(STAMP)
        assert rows.reads == 1
        clock.at = FRESH + 1
        await roster.row(STAMP)
        assert rows.reads == 2
        roster.stale(STAMP)
        await roster.row(STAMP)
        assert rows.reads == 3

    run(story())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (replace(ROW, epoch=2), "superseded"),
        (replace(ROW, state=PilotState.LOST, reason=PilotReason.GONE), "revoked"),
        (replace(ROW, state=PilotState.DONE), "revoked"),
    ],
)
def test_who_has_been_replaced_or_is_over_may_not_go_on(row: PilotRow, expected: str) -> None:
    """An older epoch is superseded, a pilot that is over is revoked."""
    rows = Rows()
    rows.pilot_row = row
    assert refused(Roster(cast(Store, rows), Steady()).speaking(TOKEN)) == expected


def test_who_has_resumed_at_another_central_is_looked_up_at_once() -> None:
    """A token of a newer epoch than the row that is remembered is no reason to work on with the old one."""

    async def story() -> None:
        rows = Rows()
        roster = Roster(cast(Store, rows), Steady())
        assert (await roster.speaking(TOKEN)).epoch == 1
        rows.pilot_row = replace(ROW, epoch=2)
        token = PilotToken(TOKEN.stamp, 2, TOKEN.key, TOKEN.issued, TOKEN.expires)
        assert (await roster.speaking(token)).epoch == 2

    run(story())


def test_heartbeats_count_within_an_epoch() -> None:
    """An older number is refused, the same is heard again, and a new epoch counts from the start."""

    async def story() -> None:
        rows = Rows()
        roster = Roster(cast(Store, rows), Steady())
        await roster.speaking(TOKEN)
        with pytest.raises(Refusal, match="heartbeat 3 is older"):
            roster.heard(STAMP, 3)
        for sequence in (4, 4, 9, 9):
            roster.heard(STAMP, sequence)
        roster.put(replace(ROW, epoch=2, sequence=0))
        roster.heard(STAMP, 1)

    run(story())


def test_many_pilots_beat_less_often() -> None:
    """Few pilots beat as often as the settings say, many so that the central can bear it, none slower than a minute."""
    assert next_beat(10.0, 5) == 10.0
    assert next_beat(10.0, 4500) == 30.0
    assert next_beat(10.0, 10**6) == 60.0
    assert next_beat(90.0, 5) == 90.0


def test_watchers_hear_what_they_may_see() -> None:
    """An event reaches those of its community and the operators, and one who is too slow is told what was missed."""

    async def story() -> None:
        hub, event = Hub(), JobChanged(1, JobState.DONE, 1)
        with hub.watching("c") as own, hub.watching("other") as other, hub.watching(None) as operator:
            hub.publish(("c",), event)
            assert await own.next(60.0) == (event,)
            assert await operator.next(60.0) == (event,)
            assert await other.next(0.0) == ()
            hub.publish(("c",), *([event] * (MAX_BEHIND + 3)))
            assert own.missed == 3
            assert len(await own.next(60.0)) == MAX_BEHIND
        hub.publish(("c",), event)
        assert await own.next(0.0) == ()

    run(story())


def test_inputs_are_remembered_and_found_again() -> None:
    """What an attempt may read is known from its match, and after a restart from what the match was answered."""

    async def story() -> None:
        inputs = Inputs(cast(Store, Rows()))
        assert await inputs.of(5, 1) == {"f" * 64}
        inputs.forget(5, 1)
        assert await inputs.of(5, 1) == {"f" * 64}

    run(story())
    assert refused(Inputs(cast(Store, Rows())).of(5, 2)) == "stale-attempt"
    assert refused(Inputs(cast(Store, Rows())).of(6, 1)) == "stale-attempt"


@pytest.mark.parametrize("name", ["number", "agent", "most"])
@pytest.mark.parametrize("number", [-1, 0, 10**18])
def test_a_match_request_has_numbers_that_a_pilot_could_have(name: str, number: int) -> None:
    """Neither none nor so large that only a hostile pilot says them; the largest node with all its agents is served."""
    check(MatchRequest(10**9, Offer("here", "local", cores=MAX_CORES), agent=256, most=MAX_CORES))
    with pytest.raises(InvalidInput, match=f"{name}: expected 1 to [0-9,]+, got {number}"):
        check(MatchRequest(**{"number": 1, "offer": Offer("here", "local"), name: number}))  # type: ignore[arg-type]
