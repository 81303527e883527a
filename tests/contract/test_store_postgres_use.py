"""What the store over PostgreSQL remembers of use between two questions never changes an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from central.store.postgres import PostgresStore
from pilot.protocol import Usage
from tests.contract.stores import ADA, BOB, Clock, enrol, postgres, queue_of, submit
from tests.postgres import cluster

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[PostgresStore]:
    store = postgres(clock)
    await store.open()
    yield store
    await store.close()
    await cluster().give_back(store.url)


@pytest.mark.parametrize("half_life", [HOUR, 168 * HOUR])
async def test_one_that_was_asked_all_along_says_what_a_new_one_says(
    store: PostgresStore, clock: Clock, half_life: float
) -> None:
    """Whatever ended, was summed, or was set back between the questions."""
    worker = await enrol(store)
    queues = [await queue_of(store, (await submit(store, 40, who))[0]) for who in (ADA, BOB)]
    for step in range(36):
        (lease,) = (await worker.claim(queues[step % 2], cores=2 + step % 3)).leases
        clock.forward(7 + 410 * (step % 4))
        if step % 3:
            await worker.ended(lease, usage=Usage(wall=5.0 + step))
        if step % 5 == 0:
            await store.roll_up()
        if step == 20:
            clock.forward(-2 * HOUR)
        fresh = PostgresStore(store.url, clock)
        await fresh.open()
        asked, new = await store.consumed(half_life), await fresh.consumed(half_life)
        await fresh.close()
        assert [(one.owner, one.cores) for one in asked] == [(one.owner, one.cores) for one in new]
        assert [one.used for one in asked] == pytest.approx([one.used for one in new], rel=1e-9)
