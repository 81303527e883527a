"""The contract of a store: orders to pilots and to attempts."""

from __future__ import annotations

import pytest

from central.store.port import Store
from pilot.protocol import Acknowledgement, GoodbyeRequest
from pilot.states import OrderVerb, PilotReason
from tests.contract.stores import ADA, Clock, digest, enrol, enrolment, ids, refused, stamp, submit, submit_pilot

pytestmark = pytest.mark.anyio


async def test_an_order_is_delivered_until_received(store: Store, clock: Clock) -> None:
    """An order stays open until its receipt, whatever else; who gave it, when and why is kept."""
    worker = await enrol(store)
    number = await store.order(worker.stamp, OrderVerb.SET, who="ada", argument="beat=5", reason="debugging")
    (order,) = await store.orders(worker.stamp)
    assert (order.id, order.verb, order.argument, order.reason) == (number, "set", "beat=5", "debugging")
    assert (order.who, order.epoch, order.created) == ("ada", 1, clock.time)
    assert await store.open_orders() == (order,)
    await store.acknowledge(worker.stamp, [Acknowledgement(number, "received")])
    assert await store.orders(worker.stamp) == ()
    assert await store.open_orders() == ()


async def test_done_without_received(store: Store) -> None:
    """The word that an order is done closes it, also when the receipt was lost; repeats are no error."""
    worker = await enrol(store)
    number = await store.order(worker.stamp, OrderVerb.FLUSH, who="ada")
    for stage in ("done", "received", "done"):
        await store.acknowledge(worker.stamp, [Acknowledgement(number, stage, "ok")])
        assert await store.orders(worker.stamp) == ()


async def test_only_the_addressee_acknowledges(store: Store) -> None:
    """Another pilot's word on an order, and a word on an order that never was, change nothing."""
    worker, other = await enrol(store, 1), await enrol(store, 2)
    number = await store.order(worker.stamp, OrderVerb.DRAIN, who="ada")
    await store.acknowledge(other.stamp, [Acknowledgement(number, "done"), Acknowledgement(999, "received")])
    assert [order.id for order in await store.orders(worker.stamp)] == [number]


async def test_orders_to_a_pilot_die_with_its_epoch(store: Store) -> None:
    """What was asked of a pilot before it started anew is not asked of the new one."""
    worker = await enrol(store)
    await store.order(worker.stamp, OrderVerb.DRAIN, who="ada")
    await store.resume(worker.stamp, digest("key 1"), 1, "")
    assert await store.orders(worker.stamp) == ()
    number = await store.order(worker.stamp, OrderVerb.HALT, who="ada")
    assert [(order.id, order.epoch) for order in await store.orders(worker.stamp)] == [(number, 2)]


async def test_an_order_before_it_calls(store: Store) -> None:
    """A pilot that has not enrolled finds the order when it does."""
    await submit_pilot(store)
    number = await store.order(stamp(1), OrderVerb.DRAIN, who="ada")
    row = await store.enrol(stamp(1), digest("secret 1"), digest("key"), enrolment())
    assert [(order.id, order.epoch) for order in await store.orders(stamp(1))] == [(number, row.epoch)]


async def test_orders_to_an_attempt_die_with_it(store: Store) -> None:
    """A kill order goes to the pilot that holds the attempt, for as long as it does."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    assert len(await store.open_orders()) == 1
    await worker.ended(leased)
    assert await store.open_orders() == ()


async def test_an_order_that_nobody_could_follow(store: Store) -> None:
    """A pilot that is over takes no orders, and one takes none for an attempt that it does not hold."""
    job = (await submit(store))[0]
    worker, other = await enrol(store, 1), await enrol(store, 2)
    await worker.take(job)
    assert await refused(store.order(other.stamp, OrderVerb.KILL, who="ada", job=job, attempt=1)) == "conflict"
    await store.goodbye(other.stamp, GoodbyeRequest(PilotReason.IDLE))
    assert await refused(store.order(other.stamp, OrderVerb.DRAIN, who="ada")) == "conflict"


async def test_orders_of_a_pilot_that_is_over(store: Store) -> None:
    """Nothing is to be delivered to it any more."""
    worker = await enrol(store)
    await store.order(worker.stamp, OrderVerb.DRAIN, who="ada")
    await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE))
    assert await store.open_orders() == ()
