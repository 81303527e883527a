"""A pilot that is sent to see what becomes of it goes the way of all, whatever waits; over every store."""

from __future__ import annotations

import hashlib

import pytest

from central.elements.port import ComputingError, Trouble
from central.store.port import Store
from pilot.states import PilotReason, PilotState
from tests.contract.stores import FAR, Clock, enrolment, intent, stamp
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement

pytestmark = pytest.mark.anyio


async def sent(store: Store) -> int:
    """A pilot in the journal that drains before it has begun. Returns the epoch of the leadership."""
    epoch = await store.lead(DUTY, "this central", FAR)
    assert epoch is not None
    await store.plan_test(intent(1))
    return epoch


@pytest.mark.parametrize("paused", [False, True])
async def test_it_is_handed_over_at_once_and_alone(store: Store, clock: Clock, paused: bool) -> None:
    """Where no job waits, and where the queue is paused, it is submitted in the next turn, though the list may be late;
    it is followed like others, and drains once it has enrolled."""
    epoch = await sent(store)
    if paused:
        await store.pause_queue("local", "ada", "new disks")
    element = FakeElement(clock, lag=60.0)
    mine = director(store, element, Work(waits=[]))
    for _ in range(3):
        await mine.cycle(epoch)
    assert [job.stamp for job in element.live] == [stamp(1)]
    assert (await store.pilot(stamp(1))).state is PilotState.SUBMITTED
    secret = hashlib.sha256(element.live[0].secret.encode()).hexdigest()
    assert (await store.enrol(stamp(1), secret, "key", enrolment())).state is PilotState.DRAINING


async def test_a_computing_element_that_refuses_it_ends_it(store: Store, clock: Clock) -> None:
    """It is closed with what the computing element said; where that may pass it stays, and is tried again."""
    epoch = await sent(store)
    element, work = FakeElement(clock), Work(waits=[])
    mine = director(store, element, work)
    element.trouble["submit"] = ComputingError("no answer", Trouble.UNREACHABLE)
    await mine.cycle(epoch)
    assert (await store.pilot(stamp(1))).state is PilotState.SUBMITTING
    del element.trouble["submit"]
    element.refuses[0] = ComputingError("no such partition", Trouble.REFUSED)
    clock.forward(60.0)
    await mine.cycle(epoch)
    row = await store.pilot(stamp(1))
    assert (row.state, row.reason, row.message) == (
        PilotState.FAILED, PilotReason.SUBMIT_FAILED, "no such partition",
    )  # fmt: skip
    assert element.live == []
