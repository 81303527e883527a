"""The contract of a store: its own life, leadership, and what holds for every verb."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from central.store.port import Store
from pilot.states import JobState
from tests.contract.stores import (
    ADA,
    Clock,
    document,
    enrol,
    enrolment,
    queue_of,
    refused,
    state_of,
    submit,
    waiting_jobs,
)

pytestmark = pytest.mark.anyio


async def test_time_is_the_databases(store: Store, clock: Clock) -> None:
    """`now` is the clock that the rows are written with."""
    clock.forward(12.5)
    assert await store.now() == clock.time


async def test_what_was_answered_is_there_after_a_restart(store: Store, tmp_path: Path, clock: Clock) -> None:
    """A store that is closed and opened again has jobs, leases, pilots and queues as before."""
    jobs = await submit(store, 3)
    worker = await enrol(store)
    leased = await worker.take(jobs[0])
    before = (await waiting_jobs(store), await store.held(worker.stamp), await store.pilot(worker.stamp))
    await store.close()
    await store.open()
    after = (await waiting_jobs(store), await store.held(worker.stamp), await store.pilot(worker.stamp))
    assert after == before
    assert await store.answered(worker.stamp, 1, 1) == (leased,)


async def test_a_closed_store_says_busy(store: Store) -> None:
    """A verb that comes too late is refused as something to repeat, and does not hang."""
    await store.close()
    assert await refused(submit(store)) == "busy"
    await store.open()


async def test_ids_are_never_used_again(store: Store) -> None:
    """Ids grow across restarts and across refused submissions."""
    first = await submit(store, 2)
    await store.submit(ADA, [document()], "key", "digest")
    await refused(store.submit(ADA, [document(5)], "key", "other"))
    await store.close()
    await store.open()
    assert (await submit(store))[0] > first[-1] + 1


# -- leadership


async def test_one_leads(store: Store, clock: Clock) -> None:
    """While one leads, nobody else does; it keeps its epoch by renewing in time."""
    epoch = await store.lead("sweep", "one", 30)
    assert epoch is not None
    clock.forward(29)
    assert await store.lead("sweep", "two", 30) is None
    assert await store.lead("sweep", "one", 30) == epoch
    clock.forward(29)
    assert await store.lead("sweep", "two", 30) is None


async def test_leadership_passes_on(store: Store, clock: Clock) -> None:
    """When the leader is late another takes over, with a higher epoch, and the late one has to wait."""
    first = await store.lead("sweep", "one", 30)
    clock.forward(31)
    second = await store.lead("sweep", "two", 30)
    assert first is not None
    assert second is not None
    assert second > first
    assert await store.lead("sweep", "one", 30) is None


async def test_a_late_leader_gets_a_new_epoch(store: Store, clock: Clock) -> None:
    """Who comes back after a gap leads anew: what it began before is fenced."""
    first = await store.lead("sweep", "one", 30)
    clock.forward(31)
    second = await store.lead("sweep", "one", 30)
    assert first is not None
    assert second is not None
    assert second > first


async def test_duties_have_leaders_of_their_own(store: Store) -> None:
    """Leading one duty says nothing of another."""
    assert await store.lead("sweep", "one", 30) is not None
    assert await store.lead("directors", "two", 30) is not None


async def test_one_of_many_leads(store: Store) -> None:
    """Of twenty that ask at once one becomes the leader."""
    answers = await asyncio.gather(*(store.lead("sweep", f"holder {number}", 30) for number in range(20)))
    assert sum(answer is not None for answer in answers) == 1


# -- all or nothing


async def test_a_refusal_changes_nothing_for_its_neighbours(store: Store) -> None:
    """Of verbs that arrive together the one that is refused leaves no trace, and the others are done."""
    jobs = await submit(store, 4)
    queue = await queue_of(store, jobs[0])
    worker, other = await enrol(store, 1), await enrol(store, 2)
    one, two = (await worker.claim(queue, 2)).leases
    await worker.running(two)
    answers = await asyncio.gather(
        submit(store, 2),
        refused(store.release(worker.stamp, [(one.job, 1), (two.job, 1)], "")),
        other.claim(queue, 2),
        refused(store.enrol(worker.stamp, "no such secret", "key", enrolment())),
        submit(store, 1),
    )
    assert (answers[1], answers[3]) == ("conflict", "unauthorized")
    assert [leased.job for leased in answers[2].leases] == jobs[2:]
    assert await state_of(store, one.job) is JobState.MATCHED
    assert sum((await waiting_jobs(store)).values()) == 3


async def test_a_number_beyond_all_bounds(store: Store) -> None:
    """A number that no database keeps is refused as invalid, in reading and in writing."""
    worker = await enrol(store)
    assert await refused(store.job("atlas", 2**70)) == "invalid"
    assert await refused(store.release(worker.stamp, [(2**70, 1)], "")) == "invalid"
