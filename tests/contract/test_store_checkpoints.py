"""The contract of a store: what a preempted attempt has saved is the next attempt's to begin with."""

from __future__ import annotations

import pytest

from central.records import Leased, Pick
from central.store.port import Store
from pilot.protocol import GoodbyeRequest, InputFile, OutputFile
from pilot.states import JobState, Outcome, PilotReason
from tests.contract.stores import ADA, Clock, Worker, digest, enrol, ids, queue_of, submit

pytestmark = pytest.mark.anyio


def saved(name: str, content: str) -> OutputFile:
    return OutputFile(name, len(content), digest(content), ("sandbox",))


def there(name: str, content: str) -> InputFile:
    return InputFile(name, digest(content), len(content))


async def preempted(worker: Worker, leased: Leased, *files: OutputFile) -> None:
    """The attempt ran, was preempted, and saved these files."""
    await worker.running(leased)
    end = await worker.ended(leased, Outcome.PREEMPTED, message="wanted\x00 back", tail="\x00\ud7ff", checkpoint=files)
    assert end is not None
    assert end.state is JobState.WAITING


async def test_the_next_attempt_gets_it(store: Store) -> None:
    """A first attempt has no checkpoint; what one that was preempted saved comes with the next claim, uncharged."""
    job = (await submit(store, checkpoint=("*.ckpt",)))[0]
    worker = await enrol(store)
    first = await worker.take(job)
    assert first.checkpoint == ()
    await preempted(worker, first, saved("a.ckpt", "1"), saved("d/b.ckpt", "22"))
    second = await worker.take(job)
    assert second.checkpoint == (there("a.ckpt", "1"), there("d/b.ckpt", "22"))
    assert second.spec == first.spec
    detail = await store.job("atlas", job)
    assert (detail.retries_used, detail.blameless_ends) == (0, 1)
    (before, _) = await store.attempts("atlas", job)
    assert [file.name for file in before.checkpoint] == ["a.ckpt", "d/b.ckpt"]


async def test_the_newest_counts(store: Store) -> None:
    """A later checkpoint takes the place of an earlier one whole."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await preempted(worker, await worker.take(job), saved("a", "1"), saved("b", "1"))
    await preempted(worker, await worker.take(job), saved("a", "2"))
    assert (await worker.take(job)).checkpoint == (there("a", "2"),)


@pytest.mark.parametrize("how", ["nothing saved", "node fault", "pilot gone", "payload error", "given back"])
async def test_it_stays_until_there_is_a_newer_one(store: Store, how: str) -> None:
    """Attempts that end without a checkpoint leave the job the one that it has."""
    job = (await submit(store, retries=1))[0]
    worker = await enrol(store)
    await preempted(worker, await worker.take(job), saved("a", "1"))
    between = await worker.take(job)
    if how == "nothing saved":
        await preempted(worker, between)
    elif how == "node fault":
        await worker.ended(between, Outcome.NODE_FAULT)
    elif how == "pilot gone":
        await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL))
        worker = await enrol(store, 2)
    elif how == "payload error":
        await worker.ended(between, Outcome.PAYLOAD_ERROR, exit_code=1)
    else:
        await store.release(worker.stamp, [(between.job, between.attempt)], "no room")
    assert (await worker.take(job)).checkpoint == (there("a", "1"),)


async def test_the_same_answer_again(store: Store) -> None:
    """A claim that is repeated, and a look at what a request was answered with, tell the checkpoint too."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await preempted(worker, await worker.take(job), saved("a", "1"))
    queue = await queue_of(store, job)
    leased = (await worker.claim(queue)).leases
    again = await store.claim(worker.stamp, worker.agent, worker.number, [Pick(queue, 1, 1)])
    assert again.leases == leased
    assert await store.answered(worker.stamp, worker.agent, worker.number) == leased
    assert leased[0].checkpoint == (there("a", "1"),)


async def test_each_job_has_its_own(store: Store) -> None:
    """Jobs that are claimed together get each its own checkpoint, and none where there is none."""
    one, two, three = await submit(store, 3)
    worker = await enrol(store)
    queue = await queue_of(store, one)
    first = {leased.job: leased for leased in (await worker.claim(queue, 3)).leases}
    await preempted(worker, first[one], saved("a", "1"))
    await preempted(worker, first[two])
    await preempted(worker, first[three], saved("a", "3"))
    second = {leased.job: leased.checkpoint for leased in (await worker.claim(queue, 3)).leases}
    assert second == {one: (there("a", "1"),), two: (), three: (there("a", "3"),)}


async def test_a_report_is_heard_once(store: Store) -> None:
    """The report that was heard first is the one that counts, also for its checkpoint."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    await preempted(worker, leased, saved("a", "1"))
    assert await worker.ended(leased, Outcome.PREEMPTED, checkpoint=(saved("a", "other"),)) is None
    assert (await worker.take(job)).checkpoint == (there("a", "1"),)


async def test_retired_with_its_job(store: Store, clock: Clock) -> None:
    """A rescheduled job begins anew, and the checkpoint of an old job goes with it."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await preempted(worker, await worker.take(job), saved("a", "1"))
    await store.change(ADA, "atlas", "kill", ids(job))
    again = (await store.change(ADA, "atlas", "reschedule", ids(job))).results[0].new_job
    assert again is not None
    assert (await worker.take(again)).checkpoint == ()
    clock.forward(1000.0)
    assert await store.retire(clock.time - 500.0, 10) == 1
