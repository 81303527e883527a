"""The contract of a store: what the machines of pilots cost is kept as it was, with what their cores did for whom."""

from __future__ import annotations

import pytest

from central.records import Beat, Bought, Tariff
from central.store.port import Store
from pilot.protocol import Booking, Ledger
from pilot.states import Cause, PilotReason, PilotState
from tests.contract.stores import Clock, enrol, intent, stamp, submit_pilot

pytestmark = pytest.mark.anyio

TARIFF = Tariff(0.25, "USD", 3600)
SECOND = 1_000_000


async def bought(store: Store, since: float = 0.0, until: float = 1e12, limit: int = 100) -> tuple[Bought, ...]:
    return await store.bought(since=since, until=until, limit=limit)


async def test_a_machine_is_paid_from_when_it_was_asked_for(store: Store, clock: Clock) -> None:
    """A machine that a cloud has taken costs from its beginning, whether its pilot has called or not."""
    begun = clock()
    await submit_pilot(store, tariff=TARIFF)
    (one,) = await bought(store)
    assert one == Bought(stamp(1), "here", "local", begun, None, TARIFF, {"atlas": (0, 0)})
    clock.forward(100)
    await store.end_pilot(stamp(1), PilotState.FAILED, PilotReason.NEVER_CALLED)
    (one,) = await bought(store)
    assert one.ended == pytest.approx(begun + 100)


async def test_a_node_is_paid_from_when_its_pilot_began(store: Store, clock: Clock) -> None:
    """What waits in a batch queue costs nothing."""
    node = Tariff(0.1, "EUR", machine=False)
    await submit_pilot(store, 1, tariff=node)
    assert await bought(store) == ()
    clock.forward(500)
    await enrol(store, 2, tariff=node)
    (one,) = await bought(store)
    assert (one.stamp, one.tariff) == (stamp(2), node)
    assert one.begun == pytest.approx(clock())


async def test_what_no_cloud_took_costs_nothing(store: Store) -> None:
    """A pilot that was written down and never taken is not paid."""
    await store.plan_pilot(intent(tariff=TARIFF))
    await store.end_pilot(stamp(1), PilotState.FAILED, PilotReason.SUBMIT_FAILED)
    assert await bought(store) == ()


async def test_only_those_of_the_time(store: Store, clock: Clock) -> None:
    """Pilots that ended long before, or began afterwards, are not told; and no more than so many."""
    await enrol(store, 1, tariff=TARIFF)
    clock.forward(10)
    await store.end_pilot(stamp(1), PilotState.DONE, PilotReason.IDLE)
    clock.forward(10 * 86400)
    began = clock()
    await enrol(store, 2, tariff=TARIFF)
    assert [one.stamp for one in await bought(store)] == [stamp(1), stamp(2)]
    assert [one.stamp for one in await bought(store, since=began)] == [stamp(2)]
    assert [one.stamp for one in await bought(store, until=began - 1)] == [stamp(1)]
    assert [one.stamp for one in await bought(store, limit=1)] == [stamp(1)]


async def test_what_the_cores_did_for_whom(store: Store, clock: Clock) -> None:
    """Ledgers of all epochs are summed by community; what is of no attempt is the pilot's community's, or nobody's."""
    bookings = (
        Booking(Cause.BOOT, 8 * SECOND),
        Booking(Cause.GOOD, 40 * SECOND, "hep"),
        Booking(Cause.FAILED, 10 * SECOND, "hep"),
        Booking(Cause.GOOD, 2 * SECOND, "atlas"),
    )
    for number, communities in ((1, ("atlas",)), (2, ("atlas", "hep"))):
        worker = await enrol(store, number, communities=communities, tariff=TARIFF)
        await store.beat([Beat(worker.stamp, clock(), 1, epoch=1, ledger=Ledger(2, 30 * SECOND, bookings))])
    first, second = await bought(store)
    assert first.booked == {"atlas": (10 * SECOND, 2 * SECOND), "hep": (50 * SECOND, 40 * SECOND)}
    assert second.booked == {
        "": (8 * SECOND, 0),
        "atlas": (2 * SECOND, 2 * SECOND),
        "hep": (50 * SECOND, 40 * SECOND),
    }


async def test_a_price_stays_as_it_was(store: Store) -> None:
    """The same intent again, at another price, changes nothing."""
    await store.plan_pilot(intent(tariff=TARIFF))
    await store.plan_pilot(intent(tariff=Tariff(9.0, "USD")))
    epoch = await store.lead("directors", "this central", 1e6)
    assert epoch is not None
    assert await store.submitting(stamp(1), "directors", epoch)
    await store.submitted(stamp(1), "i-1")
    (one,) = await bought(store)
    assert one.tariff == TARIFF


async def test_pilots_without_a_price(store: Store) -> None:
    """Those that nobody has put a price to are counted, and told as nothing else."""
    await enrol(store, 1)
    await enrol(store, 2, tariff=TARIFF)
    assert [one.stamp for one in await bought(store)] == [stamp(2)]
    assert await store.unpriced(since=0.0, until=1e12) == 1
