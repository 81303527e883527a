"""The contract of a store: ledgers of pilots are kept, completed when a pilot is gone, and summed."""

from __future__ import annotations

import pytest

from central.records import Beat
from central.store.port import Store
from pilot.protocol import Booking, GoodbyeRequest, Ledger
from pilot.states import Cause, PilotReason, PilotState
from pilot.use import WasteRow
from tests.contract.stores import Clock, Worker, digest, enrol, refused, stamp, submit_pilot

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
FIRST = Ledger(2, 10 * SECOND, (Booking(Cause.BOOT, 8 * SECOND), Booking(Cause.PAYLOAD, 12 * SECOND, "hep")))
LAST = Ledger(2, 30 * SECOND, (Booking(Cause.BOOT, 8 * SECOND), Booking(Cause.GOOD, 52 * SECOND, "hep")))


async def says(store: Store, clock: Clock, worker: Worker, ledger: Ledger, epoch: int = 1) -> None:
    await store.beat([Beat(worker.stamp, clock(), 1, epoch=epoch, ledger=ledger)])


async def booked(store: Store) -> dict[str, int]:
    """Of all pilots, in seconds."""
    rows = await store.waste(None, by=(), since=0.0, until=None)
    return {cause: amount // SECOND for row in rows for cause, amount in row.booked.items()}


async def test_the_newest_ledger_counts(store: Store, clock: Clock) -> None:
    """A ledger takes the place of the one before it; one that comes late does not."""
    worker = await enrol(store)
    await says(store, clock, worker, LAST)
    assert await booked(store) == {"boot": 8, "payload-good": 52}
    await says(store, clock, worker, FIRST)
    assert await booked(store) == {"boot": 8, "payload-good": 52}


async def test_several_words_in_one_batch(store: Store, clock: Clock) -> None:
    """Of several ledgers of a pilot that are written together the newest counts; unknown pilots are no error."""
    worker = await enrol(store)
    beats = [Beat(one, clock(), 1, epoch=1, ledger=LAST) for one in (worker.stamp, stamp(77))]
    await store.beat([*beats, Beat(worker.stamp, clock(), 2, epoch=1, ledger=FIRST)])
    assert await booked(store) == {"boot": 8, "payload-good": 52}


async def test_the_goodbye_has_the_last_word(store: Store, clock: Clock) -> None:
    """The ledger of a goodbye is whole: nothing is added to it, and no late heartbeat changes it."""
    worker = await enrol(store)
    await says(store, clock, worker, FIRST)
    clock.forward(100)
    await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE, ledger=LAST))
    await says(store, clock, worker, FIRST)
    assert await booked(store) == {"boot": 8, "payload-good": 52}


async def test_a_pilot_that_vanished_is_completed(store: Store, clock: Clock) -> None:
    """When a pilot is said to be gone, its open payloads are lost, and so is the time since its last ledger."""
    worker = await enrol(store)
    await says(store, clock, worker, FIRST)
    clock.forward(60)
    await store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.LOST_CONTACT)
    assert await booked(store) == {"boot": 8, "payload-lost": 12, "lost": 2 * 60}


async def test_a_goodbye_without_a_ledger_is_completed(store: Store, clock: Clock) -> None:
    """A pilot that cannot say where its time went is completed like one that vanished."""
    worker = await enrol(store)
    await says(store, clock, worker, FIRST)
    clock.forward(5)
    await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.UNFIT))
    assert await booked(store) == {"boot": 8, "payload-lost": 12, "lost": 10}


async def test_a_pilot_that_starts_anew_keeps_what_it_said_before(store: Store, clock: Clock) -> None:
    """After a resume a ledger begins anew and is added to that of the epoch before, which is completed; what is still
    said in that epoch counts no more."""
    worker = await enrol(store)
    await says(store, clock, worker, FIRST)
    clock.forward(20)
    await store.resume(worker.stamp, digest("key 1"), 1, "")
    await says(store, clock, worker, LAST, epoch=1)
    await says(store, clock, worker, LAST, epoch=2)
    assert await booked(store) == {"boot": 16, "payload-lost": 12, "lost": 40, "payload-good": 52}


async def test_waste_by_where_and_whose(store: Store, clock: Clock) -> None:
    """Sums are told apart by site, queue and community; what no attempt used is its pilot's community's, and nobody's
    on a pilot that is for several."""
    bound = await enrol(store, 1, communities=("hep",), site="here", queue="short")
    shared = await enrol(store, 2, communities=("hep", "bio"), site="there", queue="long")
    for worker in (bound, shared):
        await says(store, clock, worker, FIRST)
    rows = await store.waste(None, by=("site", "community"), since=0.0, until=None)
    assert rows == (
        WasteRow(("here", "hep"), 1, {"boot": 8 * SECOND, "payload-open": 12 * SECOND}),
        WasteRow(("there", ""), 1, {"boot": 8 * SECOND}),
        WasteRow(("there", "hep"), 1, {"payload-open": 12 * SECOND}),
    )
    rows = await store.waste("hep", by=("queue",), since=0.0, until=None)
    assert [(row.keys, sum(row.booked.values()) // SECOND) for row in rows] == [(("long",), 12), (("short",), 20)]
    assert await store.waste("bio", by=("queue",), since=0.0, until=None) == ()
    rows = await store.waste(None, by=("queue",), since=0.0, until=None, site="there")
    assert [(row.keys, row.pilots, sum(row.booked.values()) // SECOND) for row in rows] == [(("long",), 1, 20)]
    assert await store.waste("hep", by=("queue",), since=0.0, until=None, site="nowhere") == ()


async def test_waste_of_a_time(store: Store, clock: Clock) -> None:
    """Pilots count by when they ended; those that live count where no end of the time is given."""
    early, late, _ = await enrol(store, 1), await enrol(store, 2), await submit_pilot(store, 3)
    for worker in (early, late):
        await says(store, clock, worker, FIRST)
    await store.goodbye(early.stamp, GoodbyeRequest(PilotReason.IDLE, ledger=LAST))
    ended = clock()
    clock.forward(10)

    async def pilots(since: float, until: float | None) -> int:
        return sum(row.pilots for row in await store.waste(None, by=(), since=since, until=until))

    assert await pilots(0.0, None) == 2
    assert await pilots(ended + 1, None) == 1
    assert await pilots(ended, clock()) == 1
    assert await pilots(0.0, ended) == 0


async def test_a_community_with_nul(store: Store, clock: Clock) -> None:
    """A ledger with a character that no database keeps spoils no sum."""
    worker, other = await enrol(store, 1), await enrol(store, 2)
    await says(store, clock, worker, Ledger(1, SECOND, (Booking(Cause.PAYLOAD, SECOND, "he\0p"),)))
    await says(store, clock, other, LAST)
    assert sum((await booked(store)).values()) == 61


async def test_unknown_keys_are_refused(store: Store) -> None:
    """Waste cannot be told apart by what pilots do not have."""
    assert await refused(store.waste(None, by=("owner",), since=0.0, until=None)) == "invalid"
