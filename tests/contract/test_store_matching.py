"""The contract of a store: the claim, and what is given again."""

from __future__ import annotations

import asyncio

import pytest

from central.records import Pick
from central.store.port import Store
from pilot.protocol import GoodbyeRequest, LeaseReport
from pilot.states import JobState, Outcome, Phase, PilotReason, PilotState
from tests.contract.stores import (
    ADA,
    EVE,
    SILENT,
    WIDE,
    Clock,
    Worker,
    digest,
    enrol,
    enrolment,
    ids,
    queue_of,
    refused,
    stamp,
    state_of,
    submit,
    submit_pilot,
    waiting_jobs,
)

pytestmark = pytest.mark.anyio


async def test_a_claim_leases_a_job(store: Store, clock: Clock) -> None:
    """A claimed job is matched, in its first attempt, on that pilot, with what it needs to run."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    clock.forward(10)
    (leased,) = (await worker.claim(await queue_of(store, job), cores=3)).leases
    assert (leased.job, leased.attempt, leased.cores, leased.spec.command) == (job, 1, 3, ("./run", "0"))
    assert (leased.owner, leased.group, leased.community) == ("ada", "physics", "atlas")
    view = (await store.job("atlas", job)).job
    assert (view.state, view.attempt, view.changed) == (JobState.MATCHED, 1, clock.time)
    (attempt,) = await store.attempts("atlas", job)
    assert (attempt.pilot, attempt.site, attempt.cores) == (worker.stamp, "here", 3)
    assert [(event.phase, event.time) for event in attempt.history] == [(Phase.MATCHED, clock.time)]


async def test_the_order_of_a_queue(store: Store) -> None:
    """The highest priority goes first, and the oldest of it."""
    normal, urgent, idle = await submit(store, 2), await submit(store, 2, priority=9), await submit(store, priority=0)
    worker = await enrol(store)
    queue = await queue_of(store, normal[0])
    assert [leased.job for leased in (await worker.claim(queue, 3)).leases] == [*urgent, normal[0]]
    assert [leased.job for leased in (await worker.claim(queue, 3)).leases] == [normal[1], *idle]


async def test_picks_of_several_queues(store: Store) -> None:
    """One claim takes from each queue at most what was picked, with the cores granted there."""
    narrow, wide = await submit(store, 3), await submit(store, 3, needs=WIDE)
    worker = await enrol(store)
    picks = [Pick(await queue_of(store, wide[0]), 1, 8), Pick(await queue_of(store, narrow[0]), 2, 1)]
    claim = await store.claim(worker.stamp, 1, 1, picks)
    assert [(leased.job, leased.cores) for leased in claim.leases] == [(wide[0], 8), (narrow[0], 1), (narrow[1], 1)]


async def test_fewer_than_picked(store: Store) -> None:
    """A claim that others have outrun gets what is left, without an error."""
    jobs = await submit(store, 2)
    queue = await queue_of(store, jobs[0])
    worker = await enrol(store)
    assert len((await worker.claim(queue, 5)).leases) == 2
    nothing = await worker.claim(queue, 5)
    assert (nothing.leases, nothing.reason) == ((), None)


async def test_a_repeated_number_gets_the_same_leases(store: Store) -> None:
    """The same request number is given what it was given, and never more."""
    jobs = await submit(store, 5)
    worker = await enrol(store)
    pick = [Pick(await queue_of(store, jobs[0]), 2, 1)]
    first = await store.claim(worker.stamp, 1, 1, pick)
    again = await store.claim(worker.stamp, 1, 1, pick)
    assert again.leases == first.leases
    assert await store.answered(worker.stamp, 1, 1) == first.leases
    assert sum((await waiting_jobs(store)).values()) == 3


async def test_a_repeated_number_gets_only_what_is_still_held(store: Store) -> None:
    """Of the leases of that number those are given again that have not ended and were not killed."""
    jobs = await submit(store, 3)
    worker = await enrol(store)
    one, two, three = (await worker.claim(await queue_of(store, jobs[0]), 3)).leases
    await worker.ended(one)
    await store.change(ADA, "atlas", "kill", ids(two.job))
    assert await store.answered(worker.stamp, 1, 1) == (three,)
    await worker.ended(three)
    assert await store.answered(worker.stamp, 1, 1) == ()


async def test_a_repeated_number_does_not_get_what_another_has_now(store: Store) -> None:
    """A lease of that number whose job is another pilot's by now is not given again, nor as the new attempt."""
    job = (await submit(store))[0]
    worker, other = await enrol(store, 1), await enrol(store, 2)
    await worker.take(job)
    await store.release(worker.stamp, [(job, 1)], "")
    await other.take(job)
    assert await store.answered(worker.stamp, 1, 1) == ()
    again = await store.claim(worker.stamp, 1, 1, [])
    assert (again.leases, again.reason) == ((), "superseded")


async def test_a_number_that_comes_late(store: Store) -> None:
    """A number below the agent's last one that was given leases gets nothing more, at once or in the same batch."""
    jobs = await submit(store, 4)
    worker = await enrol(store)
    pick = [Pick(await queue_of(store, jobs[0]), 1, 1)]
    both = await asyncio.gather(store.claim(worker.stamp, 1, 5, pick), store.claim(worker.stamp, 1, 6, pick))
    assert sorted(lease.job for claim in both for lease in claim.leases) == jobs[:2]
    assert await store.answered(worker.stamp, 1, 4) == ()
    late = await store.claim(worker.stamp, 1, 4, pick)
    assert (late.leases, late.reason) == ((), "superseded")
    assert await store.answered(worker.stamp, 1, 5) == both[0].leases
    assert await store.answered(worker.stamp, 2, 4) is None
    assert len((await store.claim(worker.stamp, 1, 7, pick)).leases) == 1
    assert sum((await waiting_jobs(store)).values()) == 1


async def test_a_number_that_got_nothing_may_get_something(store: Store) -> None:
    """A number that was never given any is unknown, and the same number can still win."""
    job = (await submit(store))[0]
    queue = await queue_of(store, job)
    worker = await enrol(store)
    await store.change(ADA, "atlas", "hold", ids(job))
    assert (await store.claim(worker.stamp, 1, 1, [Pick(queue, 1, 1)])).leases == ()
    assert await store.answered(worker.stamp, 1, 1) is None
    await store.change(ADA, "atlas", "release", ids(job))
    assert len((await store.claim(worker.stamp, 1, 1, [Pick(queue, 1, 1)])).leases) == 1


async def test_agents_number_for_themselves(store: Store) -> None:
    """Two agents of one pilot may use the same number."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    pick = [Pick(await queue_of(store, jobs[0]), 1, 1)]
    one, two = await store.claim(worker.stamp, 1, 1, pick), await store.claim(worker.stamp, 2, 1, pick)
    assert [one.leases[0].job, two.leases[0].job] == jobs


async def test_numbers_begin_anew_with_each_epoch(store: Store) -> None:
    """After a resume the first number is a new request, and not a repeat of the one before."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    queue = await queue_of(store, jobs[0])
    await worker.claim(queue)
    await store.resume(worker.stamp, digest("key 1"), 1, "")
    assert await store.answered(worker.stamp, 1, 1) is None
    again = Worker(store, worker.stamp)
    assert [leased.attempt for leased in (await again.claim(queue, 2)).leases] == [2, 1]


async def test_a_draining_pilot_gets_nothing(store: Store) -> None:
    """The claim itself refuses a pilot that drains, and gives it again what it was given before."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    queue = await queue_of(store, jobs[0])
    first = await worker.claim(queue)
    await store.drain(worker.stamp)
    refusal = await worker.claim(queue)
    assert (refusal.leases, refusal.reason) == ((), "draining")
    assert (await store.claim(worker.stamp, 1, 1, [Pick(queue, 1, 1)])).leases == first.leases
    assert sum((await waiting_jobs(store)).values()) == 1


async def test_a_draining_pilot_that_was_silent_still_drains(store: Store, clock: Clock) -> None:
    """Silence does not undo a drain: neither a claim nor a beat makes such a pilot take jobs."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await store.drain(worker.stamp)
    clock.forward(SILENT + 1)
    assert (await store.sweep(SILENT)).silent == (worker.stamp,)
    claim = await worker.claim(await queue_of(store, job))
    assert (claim.leases, claim.reason) == ((), "draining")


async def test_a_pilot_with_an_alarm_gets_nothing(store: Store) -> None:
    """Once its secret was used by two, a pilot gets no new lease."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    assert await refused(store.enrol(worker.stamp, digest("secret 1"), digest("thief"), enrolment())) == "secret-used"
    claim = await worker.claim(await queue_of(store, job))
    assert (claim.leases, claim.reason) == ((), "banned")


async def test_who_may_not_claim(store: Store) -> None:
    """A pilot that is unknown, has not enrolled, or is over gets nothing."""
    job = (await submit(store))[0]
    queue = await queue_of(store, job)
    await submit_pilot(store, 1)
    over = await enrol(store, 2)
    await store.goodbye(over.stamp, GoodbyeRequest(PilotReason.IDLE))
    for number in (1, 2, 3):
        claim = await Worker(store, stamp(number), number=5).claim(queue)
        assert (claim.leases, claim.reason) == ((), "banned"), number
    assert await state_of(store, job) is JobState.WAITING


async def test_a_silent_pilot_that_asks_is_heard(store: Store, clock: Clock) -> None:
    """A claim is a word: the pilot runs again, and its leases count from now."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    clock.forward(SILENT + 1)
    await store.sweep(SILENT)
    assert len((await worker.claim(await queue_of(store, job))).leases) == 1
    row = await store.pilot(worker.stamp)
    assert (row.state, row.last_seen, row.leases) == (PilotState.RUNNING, clock.time, 1)


async def test_no_job_of_another_community(store: Store) -> None:
    """A pilot is given no job of a community that it is not for, whatever was picked."""
    theirs = (await submit(store, who=EVE))[0]
    worker = await enrol(store, communities=("atlas", "cms"))
    assert (await worker.claim(await queue_of(store, theirs))).leases == ()
    assert len((await (await enrol(store, 2, communities=("lhcb",))).claim(await queue_of(store, theirs))).leases) == 1


async def test_concurrent_claims_never_share_a_job(store: Store) -> None:
    """Fifty pilots that ask at once get fifty times two jobs, each job once."""
    jobs = await submit(store, 100)
    queue = await queue_of(store, jobs[0])
    workers = [await enrol(store, number) for number in range(50)]
    claims = await asyncio.gather(*(worker.claim(queue, 2) for worker in workers))
    assert sorted(leased.job for claim in claims for leased in claim.leases) == jobs
    assert [len(claim.leases) for claim in claims] == [2] * 50


async def test_the_same_number_at_once(store: Store) -> None:
    """A request and its retry that arrive together get one answer."""
    jobs = await submit(store, 20)
    queue = await queue_of(store, jobs[0])
    worker = await enrol(store)
    claims = await asyncio.gather(*(store.claim(worker.stamp, 1, 1, [Pick(queue, 3, 1)]) for _ in range(5)))
    assert [claim.leases for claim in claims] == [claims[0].leases] * 5
    assert sum((await waiting_jobs(store)).values()) == 17


async def test_held(store: Store) -> None:
    """What a pilot holds is listed with phase, agent, request and cores, until it has ended."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    one, two = (await worker.claim(await queue_of(store, jobs[0]), 2, cores=4)).leases
    await worker.running(one)
    held = await store.held(worker.stamp)
    assert [(live.job, live.attempt, live.phase) for live in held] == [
        (one.job, 1, Phase.RUNNING),
        (two.job, 1, Phase.MATCHED),
    ]
    assert {(live.stamp, live.agent, live.request, live.cores, live.community) for live in held} == {
        (worker.stamp, 1, 1, 4, "atlas")
    }
    await worker.ended(one)
    assert [live.job for live in await store.held(worker.stamp)] == [two.job]


async def test_a_live_attempt(store: Store) -> None:
    """What a payload's token opens is open for the current attempt alone, while it is leased."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    first = await worker.take(job)
    assert (await store.live_attempt(job, 1)).stamp == worker.stamp
    assert await refused(store.live_attempt(job, 2)) == "stale-attempt"
    await worker.ended(first, Outcome.NODE_FAULT)
    assert await refused(store.live_attempt(job, 1)) == "stale-attempt"
    await worker.take(job)
    assert (await store.live_attempt(job, 2)).attempt == 2
    await store.change(ADA, "atlas", "kill", ids(job))
    assert await refused(store.live_attempt(job, 2)) == "stale-attempt"


async def test_unseen_leases_go_back(store: Store) -> None:
    """Leases of answers that the pilot has seen and does not list wait again, uncharged, as another attempt."""
    jobs = await submit(store, 3, retries=0)
    queue = await queue_of(store, jobs[0])
    worker = await enrol(store)
    (seen,), (lost,), (late,) = [(await worker.claim(queue)).leases for _ in range(3)]
    listed = [LeaseReport(seen.job, seen.attempt)]
    back = await store.return_unseen(worker.stamp, {1: 2}, listed)
    assert [(requeued.queue, requeued.job) for requeued in back] == [(queue, lost.job)]
    assert [live.job for live in await store.held(worker.stamp)] == [seen.job, late.job]
    detail = await store.job("atlas", lost.job)
    assert (detail.job.state, detail.retries_used, detail.blameless_ends) == (JobState.WAITING, 0, 0)
    assert (await worker.take(lost.job)).attempt == 2


async def test_unseen_leases_go_back_once(store: Store) -> None:
    """The same heartbeat again returns nothing more, and one of another agent concerns nobody else's leases."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    assert await store.return_unseen(worker.stamp, {2: 5}, []) == ()
    assert len(await store.return_unseen(worker.stamp, {1: 1}, [])) == 1
    assert await store.return_unseen(worker.stamp, {1: 1}, []) == ()


async def test_an_unseen_lease_of_a_killed_job(store: Store) -> None:
    """A killed job that the pilot never saw does not wait again; it just is not held any more."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    assert await store.return_unseen(worker.stamp, {1: 1}, []) == ()
    assert await store.held(worker.stamp) == ()
    assert await state_of(store, job) is JobState.KILLED


async def test_a_claim_from_before_a_resume_gets_nothing(store: Store) -> None:
    """What a pilot asked in an earlier epoch leases nothing to it in its present one, under whichever number."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    pick = [Pick(await queue_of(store, jobs[0]), 1, 1)]
    assert len((await store.claim(worker.stamp, 1, 1, pick, 1)).leases) == 1
    await store.resume(worker.stamp, digest("key 1"), 1, "")
    late, present = await asyncio.gather(
        store.claim(worker.stamp, 1, 2, pick, 1), store.claim(worker.stamp, 1, 2, pick, 2)
    )
    assert (late.leases, late.reason) == ((), "superseded")
    assert len(present.leases) == 1
    assert (await store.claim(worker.stamp, 1, 2, pick, 2)).leases == present.leases
    assert (await store.claim(worker.stamp, 1, 2, pick, 1)).reason == "superseded"
