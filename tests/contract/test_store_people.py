"""The contract of a store: what people do to jobs."""

from __future__ import annotations

import pytest

from central.records import Requeued
from central.store.port import Store
from pilot.states import BLAMELESS_BOUND, JobState, OrderVerb, Outcome
from pilot.views import JobVerb, Selection, VerbResult
from tests.contract.stores import (
    ADA,
    BOB,
    Clock,
    Worker,
    ended,
    enrol,
    ids,
    queue_of,
    refused,
    state_of,
    submit,
    waiting_jobs,
)

pytestmark = pytest.mark.anyio


async def finished(store: Store, job: int, outcome: Outcome = Outcome.SUCCESS) -> Worker:
    """Let a job run to its end."""
    worker = await enrol(store, job)
    await worker.ended(await worker.take(job), outcome)
    return worker


async def test_kill_while_waiting(store: Store) -> None:
    """A waiting job that is killed is so at once, with who and why, and leaves its queue."""
    job = (await submit(store, priority=7))[0]
    queue = await queue_of(store, job)
    changed = await store.change(ADA, "atlas", "kill", ids(job), reason="wrong input")
    assert changed.results == (VerbResult(job, True, JobState.KILLED),)
    assert changed.removed == (Requeued(queue, job, 7),)
    assert changed.ordered == ()
    assert (await store.job("atlas", job)).job.reason == "killed by ada: wrong input"
    assert await waiting_jobs(store) == {}


async def test_kill_while_leased(store: Store) -> None:
    """A leased job that is killed is so at once, its pilot is ordered to end it, and it counts as held until then."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    changed = await store.change(ADA, "atlas", "kill", ids(job), reason="wrong input")
    assert changed.results == (VerbResult(job, True, JobState.KILLED),)
    assert (changed.removed, changed.ordered) == ((), (worker.stamp,))
    (order,) = await store.orders(worker.stamp)
    assert (order.verb, order.job, order.attempt, order.who) == (OrderVerb.KILL, job, leased.attempt, "ada")
    assert [held.job for held in await store.held(worker.stamp)] == [job]


async def test_kill_twice(store: Store) -> None:
    """A second kill changes nothing, says so, and writes no second order."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    again = await store.change(ADA, "atlas", "kill", ids(job))
    (result,) = again.results
    assert (result.changed, result.state, again.ordered) == (False, JobState.KILLED, ())
    assert "killed" in result.problem
    assert len(await store.orders(worker.stamp)) == 1


async def test_hold_and_release(store: Store) -> None:
    """A held job is not given to anybody until it is released."""
    job = (await submit(store))[0]
    queue = await queue_of(store, job)
    worker = await enrol(store)
    held = await store.change(ADA, "atlas", "hold", ids(job))
    assert held.removed == (Requeued(queue, job, 5),)
    assert (await worker.claim(queue)).leases == ()
    released = await store.change(ADA, "atlas", "release", ids(job))
    assert [(row.queue.id, row.counts, row.oldest) for row in released.added] == [(queue, {5: 1}, job)]
    assert [leased.job for leased in (await worker.claim(queue)).leases] == [job]


async def test_release_gives_a_new_allowance_of_blameless_ends(store: Store) -> None:
    """A job held for its many blameless ends runs on after a person released it, and is not held at the next one."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    for _ in range(BLAMELESS_BOUND + 1):
        await worker.ended(await worker.take(job), Outcome.NODE_FAULT)
    assert await state_of(store, job) is JobState.HELD
    await store.change(ADA, "atlas", "release", ids(job))
    await worker.ended(await worker.take(job), Outcome.NODE_FAULT)
    assert await state_of(store, job) is JobState.WAITING


async def test_reschedule_makes_a_new_job(store: Store) -> None:
    """A final job stays as it is; the new one has its document, parameters and owner, waits, and names its parent."""
    jobs = await submit(store, 3, retries=2)
    await finished(store, jobs[0])
    await store.change(ADA, "atlas", "kill", ids(jobs[1]))
    changed = await store.change(BOB, "atlas", "reschedule", ids(*jobs))
    done, killed, refusal = changed.results
    assert not refusal.changed
    assert (done.state, killed.state) == (JobState.DONE, JobState.KILLED)
    assert killed.new_job is not None
    new = await store.job("atlas", killed.new_job)
    assert (new.job.parent, new.job.state, new.job.attempt, new.retries) == (jobs[1], JobState.WAITING, 0, 2)
    assert (new.job.parameters, new.command, new.job.owner) == ({"n": "1"}, ("./run", "1"), "ada")
    assert [(row.counts, row.oldest) for row in changed.added] == [({5: 2}, done.new_job)]


async def test_priority_moves_a_job_forward(store: Store) -> None:
    """A waiting job with a new priority is counted under it, and goes first."""
    jobs = await submit(store, 3)
    queue = await queue_of(store, jobs[0])
    changed = await store.change(ADA, "atlas", "priority", ids(jobs[2]), priority=9)
    assert changed.removed == (Requeued(queue, jobs[2], 5),)
    assert [(row.queue.id, row.counts) for row in changed.added] == [(queue, {9: 1})]
    worker = await enrol(store)
    assert [leased.job for leased in (await worker.claim(queue, 2)).leases] == [jobs[2], jobs[0]]


async def test_priority_of_a_leased_job_counts_when_it_waits_again(store: Store) -> None:
    """It changes nothing in the queues now, and everything once the job goes back."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    changed = await store.change(ADA, "atlas", "priority", ids(job), priority=9)
    assert (changed.added, changed.removed) == ((), ())
    (back,) = await store.release(worker.stamp, [(job, leased.attempt)], "")
    assert back.priority == 9


@pytest.mark.parametrize("priority", [None, -1, 11])
async def test_an_impossible_priority_is_refused(store: Store, priority: int | None) -> None:
    """A priority is a whole number from 0 to 10."""
    job = (await submit(store))[0]
    assert await refused(store.change(ADA, "atlas", "priority", ids(job), priority=priority)) == "invalid"


STATES = {
    JobState.WAITING: {"kill", "hold", "priority"},
    JobState.HELD: {"kill", "release", "priority"},
    JobState.MATCHED: {"kill", "priority"},
    JobState.RUNNING: {"kill", "priority"},
    JobState.DONE: {"reschedule"},
    JobState.FAILED: {"reschedule"},
    JobState.KILLED: {"reschedule"},
}


async def bring(store: Store, state: JobState) -> int:
    """A job in that state."""
    job = (await submit(store))[0]
    if state in (JobState.MATCHED, JobState.RUNNING):
        worker = await enrol(store)
        leased = await worker.take(job)
        if state is JobState.RUNNING:
            await worker.running(leased)
    elif state in (JobState.DONE, JobState.FAILED):
        await finished(store, job, Outcome.SUCCESS if state is JobState.DONE else Outcome.PAYLOAD_ERROR)
    elif state is not JobState.WAITING:
        await store.change(ADA, "atlas", "kill" if state is JobState.KILLED else "hold", ids(job))
    return job


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ["kill", "hold", "release", "reschedule", "priority"])
async def test_a_verb_that_the_state_forbids_says_so(store: Store, state: JobState, verb: JobVerb) -> None:
    """Each verb works in the states it is for; in others the job stays, and the result says what it is."""
    job = await bring(store, state)
    (result,) = (await store.change(ADA, "atlas", verb, ids(job), priority=1)).results
    assert result.changed == (verb in STATES[state])
    if not result.changed:
        assert await state_of(store, job) is result.state is state
        assert state.value in result.problem


async def test_a_selection_by_filter(store: Store) -> None:
    """A verb by filter does to all that fit what it would do by ids, and to no other."""
    fit, plot = await submit(store, 3, name="fit-{n}"), await submit(store, 2, name="plot")
    changed = await store.change(ADA, "atlas", "kill", Selection(name="fit-"))
    assert [result.job for result in changed.results] == fit
    assert all([await state_of(store, job) is JobState.WAITING for job in plot])


async def test_an_empty_selection_is_refused(store: Store) -> None:
    """Nobody kills everything by leaving the selection out."""
    await submit(store, 2)
    assert await refused(store.change(ADA, "atlas", "kill", Selection())) == "invalid"
    assert sum((await waiting_jobs(store)).values()) == 2


async def test_results_are_one_a_job(store: Store, clock: Clock) -> None:
    """Jobs that changed, that could not, and that are not there: each has one result, in the order of their ids."""
    jobs = await submit(store, 3)
    await store.change(ADA, "atlas", "kill", ids(jobs[1]))
    clock.forward(5)
    changed = await store.change(ADA, "atlas", "kill", ids(jobs[2], 999, jobs[1], jobs[0]))
    assert [(result.job, result.changed) for result in changed.results] == [
        (jobs[0], True),
        (jobs[1], False),
        (jobs[2], True),
        (999, False),
    ]
    assert (await store.job("atlas", jobs[0])).job.changed == clock.time


async def test_report_after_kill(store: Store) -> None:
    """The end of an attempt whose job was killed is taken, with usage and last words, and the job stays killed."""
    job = (await submit(store, retries=3))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    await worker.running(leased)
    end = await worker.ended(leased, Outcome.KILLED, signal=15, tail="last words")
    assert end is not None
    assert (end.state, end.requeued) == (JobState.KILLED, None)
    (attempt,) = await store.attempts("atlas", job)
    assert (attempt.outcome, attempt.signal, attempt.tail) == (Outcome.KILLED, 15, "last words")
    assert attempt.usage == ended().usage
    assert await store.held(worker.stamp) == ()
    assert await store.orders(worker.stamp) == ()
    assert await state_of(store, job) is JobState.KILLED


async def test_success_after_kill(store: Store) -> None:
    """A payload that was quicker than the order to end it does not bring its job back."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    await worker.ended(leased, Outcome.SUCCESS, exit_code=0)
    assert await state_of(store, job) is JobState.KILLED
    assert (await store.attempts("atlas", job))[0].outcome is Outcome.SUCCESS
