"""The contract of a store: verbs that meet. Of two that cannot both be done exactly one is, and each answer is true."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from central.records import Beat, Changed, Ended, Leased
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import Acknowledgement, GoodbyeRequest
from pilot.states import FINAL, JobState, OrderVerb, PilotReason, PilotState
from pilot.views import JobVerb, Selection, VerbResult
from tests.contract.stores import (
    ADA,
    SILENT,
    Clock,
    Worker,
    digest,
    enrol,
    enrolment,
    ids,
    intent,
    queue_of,
    stamp,
    submit,
    submit_pilot,
    waiting_jobs,
)

pytestmark = pytest.mark.anyio

#: Jobs about which verbs meet: enough that some are decided the one way and some the other.
JOBS = 64


async def together(*verbs: Coroutine[Any, Any, Any]) -> list[Any]:
    """All at once, begun in a random order; the answers in the order given, refusals among them as values."""
    order = random.sample(range(len(verbs)), len(verbs))
    found = await asyncio.gather(*(verbs[number] for number in order), return_exceptions=True)
    for answer in found:
        if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
            raise answer
    answers = dict(zip(order, found, strict=True))
    return [answers[number] for number in range(len(verbs))]


async def workers(store: Store, count: int) -> list[Worker]:
    return [await enrol(store, number) for number in range(1, count + 1)]


def change(store: Store, verb: JobVerb, job: int, priority: int | None = None) -> Coroutine[Any, Any, Changed]:
    return store.change(ADA, "atlas", verb, ids(job), priority=priority)


async def claim_against(
    store: Store, verb: JobVerb, priority: int | None = None
) -> tuple[dict[int, tuple[Worker, Leased]], dict[int, VerbResult], list[Changed]]:
    """Four pilots ask for one job after another while somebody changes them, some at a time: what was leased, what was
    said of each job."""
    jobs = await submit(store, JOBS)
    queue = await queue_of(store, jobs[0])
    leased: dict[int, tuple[Worker, Leased]] = {}

    async def ask(worker: Worker) -> None:
        for _ in range(JOBS // 8):
            for lease in (await worker.claim(queue)).leases:
                assert lease.job not in leased
                leased[lease.job] = (worker, lease)

    changes = [
        store.change(ADA, "atlas", verb, ids(*jobs[first : first + 8]), priority=priority)
        for first in range(0, JOBS, 8)
    ]
    answers = await together(*(ask(worker) for worker in await workers(store, 4)), *changes)
    changed: list[Changed] = answers[4:]
    return leased, {result.job: result for one in changed for result in one.results}, changed


async def test_hold_meets_claim(store: Store) -> None:
    """A job is held or leased, never both; whoever lost is told so."""
    leased, results, _ = await claim_against(store, "hold")
    for job, result in results.items():
        assert result.changed == (job not in leased)
        state = (await store.job(None, job)).job.state
        assert state is (JobState.HELD if result.changed else JobState.MATCHED)
        assert result.changed or "matched" in result.problem
    assert await waiting_jobs(store) == {}


async def test_kill_meets_claim(store: Store) -> None:
    """Every job is killed; one that was leased before has a kill order with its pilot, one after has no attempt."""
    leased, results, changes = await claim_against(store, "kill")
    assert all(result.changed for result in results.values())
    ordered = {stamp: {order.job for order in await store.orders(stamp)} for stamp in map(stamp, range(1, 5))}
    for job in results:
        assert (await store.job(None, job)).job.state is JobState.KILLED
        assert bool(await store.attempts(None, job)) == (job in leased)
        if job in leased:
            assert job in ordered[leased[job][0].stamp]
    assert sum(map(len, ordered.values())) == len(leased)
    assert {worker.stamp for worker, _ in leased.values()} == {one for changed in changes for one in changed.ordered}
    assert sum(len(changed.removed) for changed in changes) == JOBS - len(leased)


async def test_priority_meets_claim(store: Store) -> None:
    """Jobs are counted under the new priority when they still waited, and only then."""
    leased, results, changes = await claim_against(store, "priority", 9)
    assert all(result.changed for result in results.values())
    moved = sum(sum(row.counts.values()) for changed in changes for row in changed.added)
    assert moved == sum(len(changed.removed) for changed in changes)
    left = await waiting_jobs(store)
    assert sum(left.values()) == JOBS - len(leased)
    assert {priority for _, priority in left} <= {9}
    assert moved >= sum(left.values())


async def test_kill_meets_report(store: Store) -> None:
    """A job ends as done or as killed, once, and the report and the person hear the same of it."""
    jobs = await submit(store, JOBS)
    worker = await enrol(store)
    leases = (await worker.claim(await queue_of(store, jobs[0]), JOBS)).leases
    answers = await together(
        *(worker.ended(lease) for lease in leases), *(change(store, "kill", lease.job) for lease in leases)
    )
    ends: dict[int, Ended] = {end.job: end for end in answers[:JOBS]}
    for changed in answers[JOBS:]:
        (result,) = changed.results
        state = (await store.job(None, result.job)).job.state
        assert ends[result.job].state is state is (JobState.KILLED if result.changed else JobState.DONE)
    assert await store.held(worker.stamp) == ()


async def test_goodbye_meets_claim(store: Store) -> None:
    """What a pilot is given while it says goodbye ends with it: nothing is held by a pilot that is over."""
    jobs = await submit(store, JOBS)
    queue = await queue_of(store, jobs[0])
    for number in range(1, 9):
        worker = await enrol(store, number)
        asked = [worker.claim(queue, 3) for _ in range(4)]
        *claims, ends = await together(*asked, store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE)))
        given = sorted(lease.job for claim in claims for lease in claim.leases)
        assert sorted(end.job for end in ends) == given
        assert await store.held(worker.stamp) == ()
        assert sum((await waiting_jobs(store)).values()) == JOBS


async def test_a_pilot_ends_once(store: Store, clock: Clock) -> None:
    """Of all that end a pilot or find it gone, one ends each attempt that it held."""
    jobs = await submit(store, 6)
    worker = await enrol(store)
    await worker.claim(await queue_of(store, jobs[0]), 6)
    clock.forward(1e5)
    answers = await together(
        store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL)),
        store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.GONE),
        store.resume(worker.stamp, digest("key 1"), 1, ""),
        store.sweep(SILENT),
        store.sweep(SILENT),
    )
    goodbye, end, resumed, *swept = answers
    lists = [goodbye, end, *(one.ended for one in swept), () if isinstance(resumed, Refusal) else resumed[1]]
    assert sorted(ended.job for ends in lists for ended in ends) == jobs
    assert sum((await waiting_jobs(store)).values()) == 6


async def test_one_enrols(store: Store) -> None:
    """Of many that come at once with one secret and keys of their own, one is let in, and the alarm is raised."""
    await submit_pilot(store)
    tries = [store.enrol(stamp(1), digest("secret 1"), digest(f"key {number}"), enrolment()) for number in range(8)]
    answers = await together(*tries)
    assert sorted(getattr(answer, "type", "enrolled") for answer in answers) == ["enrolled"] + ["secret-used"] * 7
    row = await store.pilot(stamp(1))
    assert row.key_hash in {answer.key_hash for answer in answers if not isinstance(answer, Refusal)}
    assert row.alarm


async def test_one_plans(store: Store) -> None:
    """Of two intents under one stamp the first is written down."""
    answers = await together(*(store.plan_pilot(intent(secret_hash=digest(str(number)))) for number in range(6)))
    assert sum(answer is None for answer in answers) == 1


async def test_a_leadership_passes_to_one(store: Store, clock: Clock) -> None:
    """When a leader is late one of many that ask takes over, with the next epoch, and all others are told no."""
    first = await store.lead("sweep", "late", 30)
    clock.forward(31)
    answers = await together(*(store.lead("sweep", f"holder {number}", 30) for number in range(20)))
    assert first is not None
    assert sorted(answer for answer in answers if answer is not None) == [first + 1]


async def test_reschedule_meets_retention(store: Store, clock: Clock) -> None:
    """An old job is rescheduled or gone; a new job can always run."""
    jobs = await submit(store, JOBS)
    await store.change(ADA, "atlas", "kill", ids(*jobs))
    clock.forward(10)
    answers = await together(
        *(change(store, "reschedule", job) for job in jobs),
        *(store.retire(clock.time, JOBS // 4) for _ in range(4)),
    )
    new = [result.new_job for changed in answers[:JOBS] for result in changed.results if result.changed]
    await store.retire(clock.time, JOBS)
    assert len(set(new)) == len(new)
    for job in new:
        assert job is not None
        assert (await store.job(None, job)).command[0] == "./run"
    listed = await store.jobs(None, Selection(), None, 1000, False)
    assert sorted(job.id for job in listed.jobs) == sorted(job for job in new if job is not None)


async def test_nobody_waits_in_a_circle(store: Store, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever verbs meet, about the same few jobs and pilots, none is in another's way for good."""
    caplog.set_level(logging.INFO)
    jobs = await submit(store, JOBS, retries=100)
    queue = await queue_of(store, jobs[0])
    staff = await workers(store, 4)
    leased: list[tuple[Worker, Leased]] = []

    async def work(worker: Worker) -> None:
        for _ in range(12):
            claim = await worker.claim(queue, 4)
            leased.extend((worker, lease) for lease in claim.leases)
            pairs = [(lease.job, lease.attempt) for lease in claim.leases[:1]]
            await together(
                store.beat([Beat(one.stamp, clock.time) for one in staff]),
                store.release(worker.stamp, pairs, ""),
                *(worker.ended(lease) for lease in claim.leases[1:]),
            )

    async def meddle(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(15):
            verb: JobVerb = dice.choice(["hold", "release", "kill", "reschedule", "priority"])
            some = dice.sample(jobs, JOBS // 2)
            changed = await store.change(ADA, "atlas", verb, ids(*some), priority=dice.randint(0, 10))
            jobs.extend(result.new_job for result in changed.results if result.new_job)
            worker = dice.choice(staff)
            order = await store.order(worker.stamp, OrderVerb.FLUSH, who="ada")
            await store.acknowledge(worker.stamp, [Acknowledgement(order, "done"), Acknowledgement(order, "received")])
            await store.sweep(SILENT)

    await asyncio.gather(*map(work, staff), *map(meddle, range(4)))
    assert leased
    assert "in the way" not in caplog.text
    for worker in staff:
        await store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE))
    for job in jobs:
        state = (await store.job(None, job)).job.state
        assert state in FINAL | {JobState.WAITING, JobState.HELD}
