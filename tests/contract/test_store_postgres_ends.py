"""Ends of attempts over PostgreSQL: successes in one statement, all others in the general way beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from central.records import Leased, Limit, Pick
from central.store.postgres import PostgresStore, successes
from central.store.postgres.attempts import Report
from pilot.errors import Refusal
from pilot.states import JobState, Outcome
from tests.contract.stores import ADA, Worker, ended, enrol, ids, postgres, queue_of, state_of, submit
from tests.postgres import cluster

pytestmark = pytest.mark.anyio

FOREVER = 1e12


@pytest.fixture
async def store() -> AsyncIterator[PostgresStore]:
    store = postgres(None)
    await store.open()
    yield store
    await store.close()
    await cluster().give_back(store.url)


async def leased(store: PostgresStore, worker: Worker, count: int, retries: int = 0) -> tuple[Leased, ...]:
    """Jobs of one sweep on their way, one core each, that count against the limit `all`."""
    jobs = await submit(store, count, retries=retries)
    claim = await worker.ask(Pick(await queue_of(store, jobs[0]), count, 1, ("all",)))
    assert [lease.job for lease in claim.leases] == jobs
    return claim.leases


async def out(store: PostgresStore) -> tuple[int, int]:
    """Attempts and cores that count against the limit."""
    (use,) = await store.limits()
    return use.attempts, use.cores


async def accounted(store: PostgresStore) -> tuple[int, int]:
    """Attempts in the accounts, and those of them that succeeded."""
    rows = await store.usage(None, by=(), since=0.0, until=FOREVER, span=None)
    return sum(row.attempts for row in rows), sum(row.succeeded for row in rows)


async def test_successes_that_come_together(store: PostgresStore) -> None:
    """They are one commit; each is accounted once, and none counts against a limit any more."""
    await store.set_limits([Limit("all", attempts=100)])
    workers = [await enrol(store, number) for number in (1, 2, 3)]
    held = [(worker, lease) for worker in workers for lease in await leased(store, worker, 20)]
    assert await out(store) == (60, 60)
    commits, verbs = store.commits()
    ends = await asyncio.gather(*(worker.ended(lease, exit_code=0) for worker, lease in reversed(held)))
    assert store.commits() == (commits + 1, verbs + 60)
    assert [(end.job, end.state) for end in ends if end] == [(lease.job, JobState.DONE) for _, lease in reversed(held)]
    assert await out(store) == (0, 0)
    assert await accounted(store) == (60, 60)
    detail = await store.job(None, held[0][1].job)
    assert (detail.job.state, detail.job.exit_code, detail.job.reason) == (JobState.DONE, 0, "")


async def test_ends_of_all_kinds_in_one_batch(store: PostgresStore) -> None:
    """Each call hears what it would hear alone, and a call that no database could take harms no other."""
    await store.set_limits([Limit("all", attempts=100)])
    worker, other = await enrol(store, 1), await enrol(store, 2)
    good, failed, again, killed, foreign, absurd = await leased(store, worker, 6, retries=1)
    await store.change(ADA, "atlas", "kill", ids(killed.job))
    _, verbs = store.commits()
    answers = await asyncio.gather(
        worker.ended(good),
        worker.ended(failed, Outcome.PAYLOAD_ERROR, exit_code=3),
        worker.ended(again),
        worker.ended(again),
        worker.ended(killed),
        other.ended(foreign),
        worker.ended(absurd, exit_code=2**40),
        return_exceptions=True,
    )
    told = [answer.type if isinstance(answer, Refusal) else answer for answer in answers]
    assert [getattr(one, "state", one) for one in told] == [
        JobState.DONE,
        JobState.WAITING,
        JobState.DONE,
        None,
        JobState.KILLED,
        "not-yours",
        "invalid",
    ]
    assert store.commits()[1] == verbs + 6  # all but the one that the database could not take
    assert [await state_of(store, lease.job) for lease in (foreign, absurd)] == [JobState.MATCHED] * 2
    assert await out(store) == (2, 2)
    assert await accounted(store) == (4, 3)


async def test_what_the_usual_end_leaves_alone(store: PostgresStore) -> None:
    """An attempt that is over, another pilot's, one of a killed job and one on a machine with failures stay as they
    are; the general way is to look at them."""
    await store.set_limits([Limit("all", attempts=100)])
    worker, other = await enrol(store, 1), await enrol(store, 2)
    flawed = await enrol(store, 3, host="node-7")
    good, over, killed, foreign = await leased(store, worker, 4)
    failed, later = await leased(store, flawed, 2)
    await worker.ended(over)
    await flawed.ended(failed, Outcome.NODE_FAULT)
    await store.change(ADA, "atlas", "kill", ids(killed.job))
    asked = ((flawed, later), (other, foreign), (worker, killed), (worker, over), (worker, good))
    calls = [Report(who.stamp, lease.job, lease.attempt, ended()) for who, lease in asked]
    async with store._hot._connection() as db:
        answers = await successes.end(db, None, [*calls, Report(worker.stamp, foreign.job, 2, ended())])
    assert [None if answer is None else answer.job for answer in answers] == [None, None, None, None, good.job, None]
    states = [await state_of(store, lease.job) for lease in (good, over, killed, foreign, later)]
    assert states == [JobState.DONE, JobState.DONE, JobState.KILLED, JobState.MATCHED, JobState.MATCHED]
    assert await out(store) == (3, 3)
