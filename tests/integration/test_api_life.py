"""A job's whole way over the wire: submitted, matched, reported, logged, read."""

from __future__ import annotations

from pilot.protocol import OutputFile
from pilot.states import JobState, Outcome, Phase
from pilot.views import JobOutputs
from tests.integration.running_central import RunningCentral


def test_a_job_goes_all_the_way(central: RunningCentral) -> None:
    """A submitted job is leased to a pilot that asks, and its end, logs and outputs are read by its owner."""
    ann = central.person("ann")
    job = ann.submit_one(command=["echo", "hello"], name="greeting")
    assert ann.job(job).state is JobState.WAITING

    pilot = central.pilot()
    (lease,) = pilot.match().leases
    assert (lease.job, lease.attempt, lease.spec.command) == (job, 1, ("echo", "hello"))
    pilot.report(lease, Phase.RUNNING)
    assert ann.job(job).state is JobState.RUNNING

    stream = f"job-{job}-1-stdout"
    assert pilot.log(stream, 0, b"hello\n", last=True).next == 6
    output = OutputFile("out.txt", 3, "0" * 64, ("sandbox",))
    pilot.succeed(lease, outputs=(output,), log_sizes={stream: 6})

    assert ann.job(job).state is JobState.DONE
    (attempt,) = ann.attempts(job)
    assert (attempt.outcome, attempt.pilot, attempt.exit_code) == (Outcome.SUCCESS, pilot.stamp, 0)
    assert ann.read(f"/v1/jobs/{job}/outputs", JobOutputs).outputs == (output,)
    log = ann.get(f"/v1/jobs/{job}/logs/stdout")
    assert log.content == b"hello\n"
    assert log.headers["Pilotage-Complete"] == "true"
