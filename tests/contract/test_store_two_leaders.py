"""The contract of a store: what only a leader does may be done by two at once, as by one that lost its lead unaware."""

from __future__ import annotations

import asyncio

import pytest

from central.store.port import Store
from pilot.states import JobState
from tests.contract.stores import LEASE, SILENT, Clock, enrol, queue_of, state_of, submit

pytestmark = pytest.mark.anyio

HOUR = 3600


async def test_two_sweeps_end_each_attempt_once(store: Store, clock: Clock) -> None:
    """Of two sweeps at the same time each lost attempt is found by one, and the job waits once."""
    workers = [await enrol(store, number) for number in range(1, 5)]
    jobs = await submit(store, 40)
    queue = await queue_of(store, jobs[0])
    for worker in workers:
        await worker.claim(queue, 10)
    clock.forward(LEASE + 1)
    swept = await asyncio.gather(*(store.sweep(SILENT) for _ in range(4)))
    ended = [(end.job, end.attempt) for one in swept for end in one.ended]
    assert sorted(ended) == [(job, 1) for job in jobs]
    assert sorted(stamp for one in swept for stamp in one.silent) == sorted(worker.stamp for worker in workers)
    assert {await state_of(store, job) for job in jobs} == {JobState.WAITING}
    (used,) = await store.usage(None, by=("owner",), since=0.0, until=1e12, span=None)
    assert used.attempts == 40


async def test_two_sums_are_one(store: Store, clock: Clock) -> None:
    """Hours that two sum up at the same time are counted once."""
    worker = await enrol(store)
    for _ in range(3):
        (job,) = await submit(store)
        await worker.ended(await worker.take(job))
        clock.forward(HOUR)
    clock.forward(HOUR)
    before = await store.usage(None, by=("owner",), since=0.0, until=1e12, span=None)
    await asyncio.gather(*(store.roll_up() for _ in range(4)))
    assert await store.roll_up() == 0
    assert await store.usage(None, by=("owner",), since=0.0, until=1e12, span=None) == before
    assert before[0].attempts == 3


async def test_two_that_let_go_of_old_jobs_let_go_of_each_once(store: Store, clock: Clock) -> None:
    """Together they report as many as there were."""
    worker = await enrol(store)
    jobs = await submit(store, 30)
    for leased in (await worker.claim(await queue_of(store, jobs[0]), 30)).leases:
        await worker.ended(leased)
    gone = await asyncio.gather(*(store.retire(clock.time + 1, 10) for _ in range(6)))
    left = await store.retire(clock.time + 1, 100)
    assert sum(gone) + left == 30
    assert (await store.counts())["jobs"].get("done", 0) == 0
