"""The contract of a store: submitting jobs, and reading them back."""

from __future__ import annotations

import pytest

from central.records import NewJobs, TaskQueue
from central.store.port import Store
from pilot.protocol import InputFile, JobSpec, Needs, OutputRule, UrlInput
from pilot.states import JobState
from tests.contract.stores import (
    ADA,
    BOB,
    NARROW,
    WIDE,
    Clock,
    document,
    enrol,
    queue_of,
    refused,
    submit,
    waiting_jobs,
)

pytestmark = pytest.mark.anyio

FILE = InputFile("data.csv", "a" * 64, 10)
OTHER = InputFile("data.csv", "b" * 64, 20)


async def test_a_sweep_gets_ids_in_a_row(store: Store) -> None:
    """The jobs of each document have contiguous ids, in the order of its members, and documents follow each other."""
    submitted = await store.submit(ADA, [document(3), document(2)], None, "")
    (first, three), (second, two) = submitted.first_ids
    assert (three, two, second) == (3, 2, first + 3)
    assert [(await store.job("atlas", first + n)).job.parameters for n in range(3)] == [{"n": str(n)} for n in range(3)]


async def test_a_job_is_filled_in(store: Store) -> None:
    """A member reads as it will run: its parameters are in command, name and outputs."""
    spec = JobSpec(
        command=("./fit", "--seed={n}"),
        name="fit-{n}",
        outputs=(OutputRule("out-{n}.root"), OutputRule("log", ("file:///far/{n}/",))),
        urls=(UrlInput("in.root", "https://data.example/{n}.root?signature=secret"),),
        inputs=(FILE,),
        needs=Needs(cores=2),
        retries=3,
        priority=7,
    )
    submitted = await store.submit(ADA, [NewJobs(spec, [({"n": "42"}, None)])], None, "")
    detail = await store.job("atlas", submitted.first_ids[0][0])
    assert detail.command == ("./fit", "--seed=42")
    assert (detail.job.name, detail.outputs, detail.inputs) == ("fit-42", ("out-42.root", "log"), ("data.csv",))
    assert detail.output_rules == (OutputRule("out-42.root"), OutputRule("log", ("file:///far/42/",)))
    assert [(one.name, one.url) for one in detail.urls] == [("in.root", "https://data.example/42.root")]
    assert (detail.needs, detail.retries, detail.job.priority) == (Needs(cores=2), 3, 7)


async def test_a_new_job_waits(store: Store, clock: Clock) -> None:
    """A job begins as waiting, before its first attempt, with its owner, group, community and time."""
    view = (await store.job("atlas", (await submit(store))[0])).job
    assert (view.state, view.attempt, view.outcome, view.reason) == (JobState.WAITING, 0, None, "")
    assert (view.owner, view.group, view.community) == ("ada", "physics", "atlas")
    assert (view.submitted, view.changed) == (clock.time, clock.time)


async def test_members_may_have_inputs_of_their_own(store: Store) -> None:
    """Inputs of a member replace those of the document, for that member alone, up to the lease."""
    new = NewJobs(JobSpec(command=("x",), inputs=(FILE,)), [({"n": "1"}, None), ({"n": "2"}, (OTHER,))])
    submitted = await store.submit(ADA, [new], None, "")
    worker = await enrol(store)
    claim = await worker.claim(await queue_of(store, submitted.first_ids[0][0]), 2)
    assert [leased.spec.inputs for leased in claim.leases] == [(FILE,), (OTHER,)]


async def test_unicode_and_quotes_survive(store: Store) -> None:
    """Whatever text a user writes comes back as it was."""
    odd = 'naïve "quoted" \\ back\nline 😀 {n} \x01'
    new = NewJobs(JobSpec(command=("echo", odd), name=odd[:20], environment={"A": odd}), [({"n": odd}, None)])
    submitted = await store.submit(ADA, [new], None, "")
    detail = await store.job("atlas", submitted.first_ids[0][0])
    assert detail.command == ("echo", odd.replace("{n}", odd))
    assert detail.job.parameters == {"n": odd}
    assert detail.job.name == odd[:20]


async def test_equal_needs_share_a_queue(store: Store) -> None:
    """Jobs of one owner and group with equal needs wait in one queue; other needs or another owner make another."""
    narrow, again, wide = (
        await submit(store, needs=NARROW),
        await submit(store, needs=NARROW),
        await submit(store, needs=WIDE),
    )
    others = await submit(store, who=BOB, needs=NARROW)
    queues = [await queue_of(store, jobs[0]) for jobs in (narrow, again, wide, others)]
    assert queues[0] == queues[1]
    assert len(set(queues)) == 3


async def test_what_was_added_is_told(store: Store) -> None:
    """The answer says what waits more, by queue and priority, with the oldest: what the matcher counts."""
    submitted = await store.submit(ADA, [document(3), document(2, priority=9), document(1, needs=WIDE)], None, "")
    first = submitted.first_ids[0][0]
    narrow, wide = submitted.added
    assert (narrow.queue, narrow.counts, narrow.oldest) == (
        TaskQueue(narrow.queue.id, "atlas", "physics", "ada", Needs()),
        {5: 3, 9: 2},
        first,
    )
    assert (wide.queue.needs, wide.counts, wide.oldest) == (WIDE, {5: 1}, first + 5)


async def test_an_idempotency_key_gives_the_first_answer(store: Store) -> None:
    """The same key with the same request stores nothing more, and answers as before."""
    first = await store.submit(ADA, [document(3)], "key", "digest")
    again = await store.submit(ADA, [document(3)], "key", "digest")
    assert (again.first_ids, again.again, again.added) == (first.first_ids, True, ())
    assert not first.again
    assert sum((await waiting_jobs(store)).values()) == 3


async def test_an_idempotency_key_with_another_request_is_refused(store: Store) -> None:
    """A key that names another request is a mistake, and stores nothing."""
    await store.submit(ADA, [document(1)], "key", "digest")
    assert await refused(store.submit(ADA, [document(2)], "key", "other")) == "idempotency-mismatch"
    assert sum((await waiting_jobs(store)).values()) == 1


async def test_a_key_that_was_used_is_known_without_submitting(store: Store) -> None:
    """The answer that it had, nothing for a new one or somebody else's, and the same refusal for another request."""
    assert await store.submitted_before(ADA, "key", "digest") is None
    first = await store.submit(ADA, [document(2)], "key", "digest")
    before = await store.submitted_before(ADA, "key", "digest")
    assert before is not None
    assert (before.first_ids, before.again) == (first.first_ids, True)
    assert await store.submitted_before(BOB, "key", "digest") is None
    assert await refused(store.submitted_before(ADA, "key", "other")) == "idempotency-mismatch"


async def test_an_idempotency_key_is_its_owners(store: Store) -> None:
    """Two users may happen to use the same key."""
    first = await store.submit(ADA, [document(1)], "key", "digest")
    second = await store.submit(BOB, [document(1)], "key", "digest")
    assert not second.again
    assert second.first_ids != first.first_ids


async def test_waiting_is_all_that_waits(store: Store) -> None:
    """A matcher that starts gets one row a queue, with the counts by priority and the oldest job."""
    three, two = await submit(store, 3), await submit(store, 2, priority=9)
    wide = await submit(store, needs=WIDE)
    worker = await enrol(store)
    await worker.claim(await queue_of(store, two[0]))
    rows = {row.queue.needs: (row.counts, row.oldest) for row in await store.waiting()}
    assert rows == {Needs(): ({5: 3, 9: 1}, three[0]), WIDE: ({5: 1}, wide[0])}


async def test_a_job_knows_its_queue(store: Store) -> None:
    """The queue of a job is told with what waits in it, also when that is nothing; of no job there is none."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    waiting = await store.task_queue(job)
    assert waiting is not None
    assert (waiting.queue.owner, waiting.counts) == ("ada", {})
    assert await store.task_queue(job + 1) is None


async def test_ahead_counts_priority_and_age(store: Store) -> None:
    """Before a job go those of a higher priority, and older ones of the same, in the queues asked for."""
    old, one, young = await submit(store, 3), (await submit(store))[0], await submit(store, 4)
    urgent = await submit(store, 2, needs=WIDE, priority=8)
    idle = await submit(store, 5, needs=WIDE, priority=1)
    own, other = await queue_of(store, one), await queue_of(store, urgent[0])
    assert await store.ahead(one, [own]) == len(old)
    assert await store.ahead(one, [own, other]) == len(old) + len(urgent)
    assert await store.ahead(idle[0], [own, other]) == len(old) + 1 + len(young) + len(urgent)


async def test_a_large_sweep_in_one_go(store: Store) -> None:
    """A sweep of 20,000 jobs is stored whole, and each of them can be had."""
    jobs = await submit(store, 20_000)
    assert sum((await waiting_jobs(store)).values()) == 20_000
    assert (await store.job("atlas", jobs[-1])).job.name == "run-19999"
