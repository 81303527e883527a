"""The contract of a store: how attempts go, end, and give their jobs back."""

from __future__ import annotations

import pytest

from central.records import Beat, Requeued
from central.store.port import Store
from pilot.protocol import AttemptReport, OutputFile, StopSignal, Usage
from pilot.states import BLAMELESS, BLAMELESS_BOUND, CHARGED, JobState, Outcome, Phase, PilotReason, PilotState
from tests.contract.stores import (
    ADA,
    LEASE,
    SILENT,
    Clock,
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


async def test_an_attempt_goes_its_way(store: Store, clock: Clock) -> None:
    """Each report moves attempt and job on, and the history keeps when and what was said."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    for phase in (Phase.RUNNING, Phase.COMPLETING):
        clock.forward(10)
        answer = await store.report(worker.stamp, job, 1, AttemptReport(phase, message=f"now {phase.value}"))
        assert answer is None
        assert (await state_of(store, job)).value == phase.value
    clock.forward(10)
    end = await worker.ended(leased, exit_code=0, message="all well")
    assert end is not None
    assert (end.state, end.requeued) == (JobState.DONE, None)
    (attempt,) = await store.attempts("atlas", job)
    began = clock.time - 30
    assert [(event.phase, event.time - began, event.message) for event in attempt.history] == [
        (Phase.MATCHED, 0, ""),
        (Phase.RUNNING, 10, "now running"),
        (Phase.COMPLETING, 20, "now completing"),
        (Phase.ENDED, 30, "all well"),
    ]
    assert (attempt.started, attempt.ended) == (began, clock.time)


async def test_a_new_attempt_has_no_end_yet(store: Store) -> None:
    """How the attempt before ended is told while the job waits, and no more once another is out."""
    job = (await submit(store, retries=1))[0]
    worker = await enrol(store)
    await worker.ended(await worker.take(job), Outcome.PAYLOAD_ERROR, exit_code=3, message="no such file")
    view = (await store.job("atlas", job)).job
    assert (view.state, view.outcome, view.exit_code) == (JobState.WAITING, Outcome.PAYLOAD_ERROR, 3)
    assert view.reason
    leased = await worker.take(job)
    await store.report(worker.stamp, job, leased.attempt, AttemptReport(Phase.RUNNING))
    for view in ((await store.job("atlas", job)).job, (await store.jobs("atlas", ids(job), None, 1, False)).jobs[0]):
        assert (view.state, view.attempt, view.outcome, view.exit_code, view.reason) == (
            JobState.RUNNING,
            2,
            None,
            None,
            "",
        )


async def test_a_job_tells_how_it_is_run(store: Store) -> None:
    """One job whole names its container, what it saves, and when and how it is ended."""
    stop = StopSignal(600, "SIGUSR2", "fit*")
    (job,) = await submit(
        store,
        container="image.sif",
        checkpoint=("*.ckpt",),
        grace=30,
        cpu_time=7200,
        no_progress=0,
        stop_signal=stop,
    )
    detail = await store.job("atlas", job)
    assert (detail.container, detail.checkpoint, detail.grace) == ("image.sif", ("*.ckpt",), 30)
    assert (detail.cpu_time, detail.no_progress, detail.stop_signal) == (7200, 0, stop)


async def test_an_end_may_come_first(store: Store) -> None:
    """A short job reports its end before anybody heard that it ran."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.ended(await worker.take(job))
    assert await state_of(store, job) is JobState.DONE


async def test_all_of_the_end_is_kept(store: Store) -> None:
    """What the pilot says of the end can be read from the attempt, the outcome also from the job."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    report = AttemptReport(
        Phase.ENDED,
        Outcome.LIMIT_EXCEEDED,
        exit_code=137,
        signal=9,
        limit="memory",
        message="it used 3 GB of 2 GB",
        usage=Usage(wall=10.0, cpu=9.5, memory=3, memory_peak=4, disk=5),
        outputs=(OutputFile("a.root", 10, "c" * 64, ("sandbox",)),),
        undelivered=("b.root",),
        tail="Killed\n",
        log_sizes={"job-1-1-stdout": 7},
    )
    await store.report(worker.stamp, job, leased.attempt, report)
    (view,) = await store.attempts("atlas", job)
    for name in ("outcome", "exit_code", "signal", "limit", "message", "usage", "outputs", "undelivered", "tail"):
        assert getattr(view, name) == getattr(report, name), name
    assert view.log_sizes == report.log_sizes
    detail = (await store.job("atlas", job)).job
    assert (detail.outcome, detail.exit_code) == (Outcome.LIMIT_EXCEEDED, 137)
    assert "memory" in detail.reason
    assert "it used 3 GB of 2 GB" in detail.reason


async def test_a_report_twice(store: Store) -> None:
    """The same report again is accepted and changes nothing; so is an older phase that comes late."""
    job = (await submit(store, retries=5))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    first = await worker.ended(leased, Outcome.PAYLOAD_ERROR, exit_code=1)
    assert first is not None
    before = await store.job("atlas", job)
    assert await worker.ended(leased, Outcome.PAYLOAD_ERROR, exit_code=1) is None
    await worker.running(leased)
    assert await store.job("atlas", job) == before
    assert sum((await waiting_jobs(store)).values()) == 1


async def test_a_phase_does_not_go_back(store: Store) -> None:
    """A `running` that arrives after `completing` leaves the job completing."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    await store.report(worker.stamp, job, 1, AttemptReport(Phase.COMPLETING))
    await worker.running(leased)
    assert await state_of(store, job) is JobState.COMPLETING


async def test_an_end_without_an_outcome_is_refused(store: Store) -> None:
    """How an attempt ended must be said, or nothing can be decided."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    assert await refused(store.report(worker.stamp, job, 1, AttemptReport(Phase.ENDED))) == "invalid"
    assert await state_of(store, job) is JobState.MATCHED


async def test_an_attempt_that_is_not_yours(store: Store) -> None:
    """A pilot can report on and release only what it leased itself."""
    job = (await submit(store))[0]
    worker, other = await enrol(store, 1), await enrol(store, 2)
    leased = await worker.take(job)
    assert await refused(other.ended(leased)) == "not-yours"
    assert await refused(store.release(other.stamp, [(job, 1)], "")) == "not-yours"
    assert await state_of(store, job) is JobState.MATCHED


async def test_a_stale_attempt_is_fenced(store: Store, clock: Clock) -> None:
    """What the old attempt says after its lease ran out is refused, and does not touch the new one."""
    job = (await submit(store))[0]
    old, new = await enrol(store, 1), await enrol(store, 2)
    stale = await old.take(job)
    clock.forward(LEASE + 1)
    await store.sweep(SILENT)
    current = await new.take(job)
    assert current.attempt == 2
    assert await refused(old.running(stale)) == "stale-attempt"
    assert await refused(old.ended(stale)) == "stale-attempt"
    assert await state_of(store, job) is JobState.MATCHED
    assert [live.stamp for live in await store.held(new.stamp)] == [new.stamp]


async def test_an_attempt_that_never_was(store: Store) -> None:
    """A report on an attempt or a job that nobody knows is stale."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    assert await refused(store.report(worker.stamp, job, 2, ended())) == "stale-attempt"
    assert await refused(store.report(worker.stamp, job + 1, 1, ended())) == "stale-attempt"


@pytest.mark.parametrize("outcome", sorted(CHARGED))
async def test_charged_ends_use_up_the_retries(store: Store, outcome: Outcome) -> None:
    """With two retries a job waits twice more, and then has failed, with a sentence that says so."""
    job = (await submit(store, retries=2))[0]
    worker = await enrol(store)
    for used in (1, 2):
        end = await worker.ended(await worker.take(job), outcome, exit_code=3)
        assert end is not None
        assert end.requeued == Requeued(await queue_of(store, job), job, 5)
        detail = await store.job("atlas", job)
        assert (detail.job.state, detail.retries_used) == (JobState.WAITING, used)
        assert f"retry {used} of 2" in detail.job.reason
    end = await worker.ended(await worker.take(job), outcome, exit_code=3)
    assert end is not None
    assert (end.state, end.attempt, end.requeued) == (JobState.FAILED, 3, None)
    detail = await store.job("atlas", job)
    assert detail.retries_used == 2
    assert f"attempt 3 ended as {outcome.value} (exit code 3); all 2 retries are used" in detail.job.reason


async def test_without_retries_a_job_fails_at_once(store: Store) -> None:
    """By default a charged end is the end, and no retry was used."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.ended(await worker.take(job), Outcome.PAYLOAD_ERROR)
    detail = await store.job("atlas", job)
    assert (detail.job.state, detail.retries_used) == (JobState.FAILED, 0)


@pytest.mark.parametrize("outcome", sorted(BLAMELESS))
async def test_blameless_ends_have_a_bound_of_their_own(store: Store, outcome: Outcome) -> None:
    """They use up no retry; after the bound the job is held and says why."""
    job = (await submit(store, retries=0))[0]
    worker = await enrol(store)
    for count in range(1, BLAMELESS_BOUND + 1):
        await worker.ended(await worker.take(job), outcome)
        detail = await store.job("atlas", job)
        assert (detail.job.state, detail.blameless_ends, detail.retries_used) == (JobState.WAITING, count, 0)
    end = await worker.ended(await worker.take(job), outcome)
    assert end is not None
    assert (end.state, end.requeued) == (JobState.HELD, None)
    assert "held" in (await store.job("atlas", job)).job.reason
    assert await waiting_jobs(store) == {}


async def test_killed_on_the_node_is_final(store: Store) -> None:
    """An attempt that a person ended there ends its job, whatever retries it had."""
    job = (await submit(store, retries=5))[0]
    worker = await enrol(store)
    await worker.ended(await worker.take(job), Outcome.KILLED)
    assert await state_of(store, job) is JobState.KILLED


async def test_release_is_free(store: Store) -> None:
    """A lease given back unstarted costs the job nothing but its attempt number, which is not used again."""
    job = (await submit(store, priority=3))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    back = await store.release(worker.stamp, [(job, leased.attempt)], "no disk")
    assert back == (Requeued(await queue_of(store, job), job, 3),)
    detail = await store.job("atlas", job)
    assert (detail.job.state, detail.retries_used, detail.blameless_ends) == (JobState.WAITING, 0, 0)
    assert detail.job.reason == "attempt 1 was given back unstarted: no disk"
    (attempt,) = await store.attempts("atlas", job)
    assert (attempt.phase, attempt.outcome, attempt.history[-1].message) == (
        Phase.ENDED,
        None,
        "given back unstarted: no disk",
    )
    assert (await worker.take(job)).attempt == 2


async def test_release_twice(store: Store) -> None:
    """Giving back again returns nothing, also when the job runs elsewhere by now."""
    job = (await submit(store))[0]
    worker, other = await enrol(store, 1), await enrol(store, 2)
    await worker.take(job)
    await store.release(worker.stamp, [(job, 1)], "")
    await other.take(job)
    assert await store.release(worker.stamp, [(job, 1)], "") == ()
    assert await state_of(store, job) is JobState.MATCHED


async def test_release_is_for_what_has_not_started(store: Store) -> None:
    """A running attempt cannot be given back; all of that release is refused."""
    jobs = await submit(store, 2)
    worker = await enrol(store)
    one, two = (await worker.claim(await queue_of(store, jobs[0]), 2)).leases
    await worker.running(two)
    assert await refused(store.release(worker.stamp, [(one.job, 1), (two.job, 1)], "")) == "conflict"
    assert [live.job for live in await store.held(worker.stamp)] == jobs


async def test_release_of_a_killed_job(store: Store) -> None:
    """It does not wait again."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    await store.change(ADA, "atlas", "kill", ids(job))
    assert await store.release(worker.stamp, [(job, 1)], "") == ()
    assert await state_of(store, job) is JobState.KILLED


async def test_a_released_attempt_is_over(store: Store) -> None:
    """A report on what was given back is stale."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    leased = await worker.take(job)
    await store.release(worker.stamp, [(job, 1)], "")
    assert await refused(worker.running(leased)) == "stale-attempt"


async def test_beats_keep_usage(store: Store) -> None:
    """The usage of a heartbeat is shown while the attempt runs, and stays when its end brings none."""
    job = (await submit(store))[0]
    worker = await enrol(store)
    await worker.take(job)
    usage = Usage(wall=5.0, cpu=4.0, memory=100)
    await store.beat([Beat(worker.stamp, 1.0, usage={(job, 1): usage})])
    assert (await store.attempts("atlas", job))[0].usage == usage
    await store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.GONE)
    assert (await store.attempts("atlas", job))[0].usage == usage


async def test_beats_reach_only_own_attempts(store: Store) -> None:
    """A pilot cannot write usage into another pilot's attempt."""
    job = (await submit(store))[0]
    worker, other = await enrol(store, 1), await enrol(store, 2)
    await worker.take(job)
    await store.beat([Beat(other.stamp, 1.0, usage={(job, 1): Usage(wall=99.0)})])
    assert (await store.attempts("atlas", job))[0].usage == Usage()
