"""The contract of a store: old jobs go with all that is theirs; what they used stays."""

from __future__ import annotations

import pytest

from central.store.port import Store
from pilot.states import JobState, Outcome
from pilot.views import Selection
from tests.contract.stores import ADA, SILENT, Clock, Worker, document, enrol, ids, queue_of, refused, state_of, submit

pytestmark = pytest.mark.anyio


async def run_all(store: Store, worker: Worker, jobs: list[int]) -> None:
    for leased in (await worker.claim(await queue_of(store, jobs[0]), len(jobs))).leases:
        await worker.ended(leased)


async def listed(store: Store) -> list[int]:
    return [job.id for job in (await store.jobs(None, Selection(), None, 1000, False)).jobs]


async def test_old_jobs_go_and_their_use_stays(store: Store, clock: Clock) -> None:
    """Jobs final before the time go, with their attempts; later ones, and those that are not final, stay."""
    worker = await enrol(store)
    old = await submit(store, 3)
    await run_all(store, worker, old)
    clock.forward(100)
    new = await submit(store, 3)
    await run_all(store, worker, new)
    waits = await submit(store, 2)
    used = await store.usage(None, by=("owner",), since=0.0, until=1e9, span=None)
    assert await store.retire(clock.time - 50, 1000) == 3
    assert await listed(store) == [*reversed(waits), *reversed(new)]
    for job in old:
        assert await refused(store.job(None, job)) == "not-found"
        assert await refused(store.attempts(None, job)) == "not-found"
        assert await store.task_queue(job) is None
    assert len(await store.attempts(None, new[0])) == 1
    assert await store.usage(None, by=("owner",), since=0.0, until=1e9, span=None) == used
    assert used[0].attempts == 6
    assert (await store.counts())["jobs"] == {"done": 3, "waiting": 2}
    assert await store.retire(clock.time - 50, 1000) == 0
    assert await submit(store) == [max(waits) + 1]  # an id is never given twice


async def test_ids_are_not_given_again(store: Store, clock: Clock) -> None:
    """Not even when the newest job has gone."""
    jobs = await submit(store, 3)
    await store.change(ADA, "atlas", "kill", ids(*jobs))
    assert await store.retire(clock.time + 1, 10) == 3
    assert await submit(store) == [4]


async def test_as_many_at_a_time_as_asked_for(store: Store, clock: Clock) -> None:
    """The oldest first, so that one call does not hold the store up."""
    worker = await enrol(store)
    jobs = await submit(store, 5)
    for job in jobs:
        clock.forward(1)
        await worker.ended(await worker.take(job))
    assert await store.retire(clock.time + 1, 2) == 2
    assert await listed(store) == [5, 4, 3]
    assert await store.retire(clock.time + 1, 2) == 2
    assert await store.retire(clock.time + 1, 2) == 1
    assert await listed(store) == []


async def test_a_member_of_a_sweep_goes_alone(store: Store, clock: Clock) -> None:
    """What it shared with the others stays as long as one of them does."""
    worker = await enrol(store)
    first, second = await submit(store, 2)
    await worker.ended(await worker.take(first))
    assert await store.retire(clock.time + 1, 10) == 1
    assert (await store.job(None, second)).command == ("./run", "1")
    await worker.ended(await worker.take(second))
    assert await store.retire(clock.time + 1, 10) == 1


async def test_a_killed_job_stays_while_its_attempt_is_out(store: Store, clock: Clock) -> None:
    """Its pilot is still to hear the kill order, and to report the end."""
    (job,) = await submit(store)
    worker = await enrol(store)
    leased = await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    clock.forward(100)
    assert await store.retire(clock.time, 10) == 0
    assert len(await store.orders(worker.stamp)) == 1
    await worker.ended(leased, Outcome.KILLED)
    assert await store.retire(clock.time + 1, 10) == 1
    assert await store.orders(worker.stamp) == ()
    assert await store.held(worker.stamp) == ()


async def test_a_rescheduled_job_outlives_its_parent(store: Store, clock: Clock) -> None:
    """The child runs on as it is; of its parent only the number is lost, if anything."""
    (old,) = await submit(store)
    await store.change(ADA, "atlas", "kill", ids(old))
    clock.forward(100)
    changed = await store.change(ADA, "atlas", "reschedule", ids(old))
    child = changed.results[0].new_job
    assert child is not None
    assert await store.retire(clock.time - 50, 10) == 1
    assert (await store.job(None, child)).job.parent in (None, old)
    assert await state_of(store, child) is JobState.WAITING
    assert (await (await enrol(store)).take(child)).spec.command == ("./run", "0")


async def test_an_old_key_is_known_while_its_jobs_are(store: Store, clock: Clock) -> None:
    """The same submission again is recognised as long as something of it is left, and is a new one after that."""
    first = await store.submit(ADA, [document(2)], "key", "digest")
    clock.forward(100)
    await store.change(ADA, "atlas", "kill", ids(1))
    assert await store.retire(clock.time + 1, 10) == 1
    assert (await store.submit(ADA, [document(2)], "key", "digest")).first_ids == first.first_ids
    await store.change(ADA, "atlas", "kill", ids(2))
    assert await store.retire(clock.time + 1, 10) == 1
    again = await store.submit(ADA, [document(2)], "key", "digest")
    assert (again.again, again.first_ids) == (False, ((3, 2),))


async def test_late_words_about_a_retired_job(store: Store, clock: Clock) -> None:
    """A report of an attempt that is no more is refused like any stale one; the sweep does not stumble."""
    (job,) = await submit(store)
    worker = await enrol(store)
    leased = await worker.take(job)
    await worker.ended(leased)
    await store.retire(clock.time + 1, 10)
    assert await refused(worker.ended(leased)) == "stale-attempt"
    assert await refused(store.live_attempt(job, 1)) == "stale-attempt"
    await store.release(worker.stamp, [(job, 1)], "")
    clock.forward(1e5)
    assert (await store.sweep(SILENT)).ended == ()
