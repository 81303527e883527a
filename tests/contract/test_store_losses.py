"""The contract of a store: pilots that fall silent or end, and what becomes of what they held."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from central.records import Beat, Requeued
from central.store.port import Store
from pilot.protocol import GoodbyeRequest
from pilot.states import JobState, Outcome, PilotReason, PilotState
from tests.contract.stores import (
    ADA,
    LEASE,
    SILENT,
    Clock,
    Worker,
    digest,
    enrol,
    ids,
    queue_of,
    refused,
    submit,
)

pytestmark = pytest.mark.anyio


async def test_sweep_ends_leases_that_ran_out(store: Store, clock: Clock) -> None:
    """A pilot not heard for its lease loses its attempts; before that it only is shown as silent."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    await worker.claim(await queue_of(store, jobs[0]), 2)
    clock.forward(SILENT + 1)
    swept = await store.sweep(SILENT)
    assert (swept.silent, swept.ended) == ((worker.stamp,), ())
    clock.forward(LEASE - SILENT)
    swept = await store.sweep(SILENT)
    assert swept.silent == ()
    assert [(end.job, end.state, end.requeued is not None) for end in swept.ended] == [
        (job, JobState.WAITING, True) for job in jobs
    ]
    assert (await store.attempts("atlas", jobs[0]))[0].outcome is Outcome.LOST
    assert "lease of 600 s" in (await store.job("atlas", jobs[0])).job.reason
    assert (await store.job("atlas", jobs[0])).blameless_ends == 1
    assert await store.sweep(SILENT) == type(swept)((), ())


async def test_sweep_counts_from_the_last_word(store: Store, clock: Clock) -> None:
    """A beat renews every lease of its pilot; one pilot's silence is not another's."""
    jobs = await submit(store, 2)
    heard, silent = await enrol(store, 1), await enrol(store, 2)
    await heard.take(jobs[0])
    await silent.take(jobs[1])
    clock.forward(LEASE - 1)
    await store.beat([Beat(heard.stamp, clock.time)])
    clock.forward(2)
    swept = await store.sweep(SILENT)
    assert (swept.silent, [end.job for end in swept.ended]) == ((silent.stamp,), [jobs[1]])


async def test_sweep_of_one_never_heard_counts_from_enrolment(store: Store, clock: Clock) -> None:
    """A pilot that has only enrolled is silent as long after that as any other after its last word."""
    worker = await enrol(store)
    clock.forward(SILENT - 1)
    assert (await store.sweep(SILENT)).silent == ()
    clock.forward(2)
    assert (await store.sweep(SILENT)).silent == (worker.stamp,)


async def test_sweep_of_a_killed_job(store: Store, clock: Clock) -> None:
    """The attempt ends, and the job stays killed."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    clock.forward(LEASE + 1)
    (end,) = (await store.sweep(SILENT)).ended
    assert (end.state, end.requeued) == (JobState.KILLED, None)
    assert await store.held(worker.stamp) == ()


async def lost_by_goodbye(store: Store, worker: Worker) -> object:
    return await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.INTERNAL))


async def lost_by_halt(store: Store, worker: Worker) -> object:
    return await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.HALTED))


async def lost_by_signal(store: Store, worker: Worker) -> object:
    return await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL))


async def lost_by_end(store: Store, worker: Worker) -> object:
    return await store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.GONE)


async def lost_by_resume(store: Store, worker: Worker) -> object:
    return (await store.resume(worker.stamp, digest("key 1"), 1, ""))[1]


LOSSES: Mapping[str, tuple[object, Outcome]] = {
    "goodbye": (lost_by_goodbye, Outcome.NODE_FAULT),
    "halt": (lost_by_halt, Outcome.PREEMPTED),
    "signal": (lost_by_signal, Outcome.PREEMPTED),
    "end": (lost_by_end, Outcome.NODE_FAULT),
    "resume": (lost_by_resume, Outcome.NODE_FAULT),
}


@pytest.mark.parametrize("how", LOSSES)
async def test_what_a_pilot_leaves_behind(store: Store, how: str) -> None:
    """Whatever ends a pilot ends what it held, blamelessly, and the jobs wait again; a killed one stays killed."""
    lose, outcome = LOSSES[how]
    jobs = await submit(store, 3)
    worker = await enrol(store)
    done, killed, held = (await worker.claim(await queue_of(store, jobs[0]), 3)).leases
    await worker.ended(done)
    await store.change(ADA, "atlas", "kill", ids(killed.job))
    ends = {end.job: end for end in await lose(store, worker)}  # type: ignore[operator]
    assert {job: end.state for job, end in ends.items()} == {killed.job: JobState.KILLED, held.job: JobState.WAITING}
    assert ends[held.job].requeued == Requeued(await queue_of(store, held.job), held.job, 5)
    assert (await store.attempts("atlas", held.job))[0].outcome is outcome
    assert await store.held(worker.stamp) == ()
    assert (await store.job("atlas", held.job)).retries_used == 0
    assert await refused(worker.ended(held)) == "stale-attempt"


async def test_a_lease_is_by_pilot(store: Store, clock: Clock) -> None:
    """How long a lease lasts is the pilot's own."""
    job = (await submit(store))[0]
    worker = await enrol(store, lease=60)
    await worker.take(job)
    clock.forward(61)
    assert LEASE > 61
    assert [end.job for end in (await store.sweep(SILENT)).ended] == [job]
