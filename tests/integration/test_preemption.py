"""Preemption is not failure: a real central, real pilots, and jobs that go on where they were stopped."""

from __future__ import annotations

import os
import signal

import pytest

from pilot.states import JobState, Outcome, PilotReason, PilotState
from pilot.views import AttemptView
from pilotage import Client
from tests.system import System, check_log, deliver, wait_for

#: Counts, and begins where its checkpoint says. Told to stop it saves where it is, and leaves.
COUNTING = """
import os, pathlib, signal, sys, time
state = pathlib.Path("state.ckpt")
begun = int(state.read_text()) if state.exists() else 0
count = begun
def save(number, frame):
    left = float(pathlib.Path(os.environ["PILOTAGE_DEADLINE_FILE"]).read_text()) - time.time()
    state.write_text(str(count))
    print("saved", count, "with", round(left), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begins at", begun, flush=True)
while count < 30 or not begun:
    count += 1
    pathlib.Path("count").write_text(str(count))
    time.sleep(0.05)
pathlib.Path("result.txt").write_text(f"{begun} {count}")
"""


def submit_counting(client: Client) -> int:
    """A job that ends only once it has begun from a checkpoint."""
    [job] = client.submit(
        [{"command": ["python3", "-c", COUNTING], "checkpoint": ["*.ckpt"], "outputs": ["result.txt"]}]
    ).ids
    return job


def counting(system: System, client: Client, job: int, attempt: int = 1) -> AttemptView:
    """Wait until its payload counts."""
    wait_for(lambda: any(file.read_text() for file in system.attempt(job, attempt, "count")), 60, "the payload")
    return client.attempts(job)[-1]


def check_went_on(client: Client, job: int) -> list[AttemptView]:
    """It ended well, from where it had saved, uncharged."""
    client.wait([job], timeout=270)
    assert client.job(job).job.state is JobState.DONE, client.attempts(job)
    attempts = [one for one in client.attempts(job) if one.outcome]  # but for leases that were given back unstarted
    assert [one.outcome for one in attempts] == [Outcome.PREEMPTED, Outcome.SUCCESS]
    assert [file.name for file in attempts[0].checkpoint] == ["state.ckpt"]
    # The last bytes of a log may come after the report of the attempt's end.
    wait_for(lambda: b"saved" in client.logs(job, attempt=1), 60, "the log of the first attempt")
    [saved] = [line.split()[1] for line in client.logs(job, attempt=1).decode().splitlines() if "saved" in line]
    check_log(client, job, f"begins at {saved}\n".encode(), attempt=attempts[1].attempt)
    assert client.job(job).retries_used == 0
    return attempts


def test_a_halted_pilot(system: System, client: Client) -> None:
    """An order to halt: the payload saves its state, and another pilot's goes on from there."""
    job = submit_counting(client)
    first = counting(system, client, job)
    client.halt(first.pilot, "the rack is wanted")
    first, second = check_went_on(client, job)
    assert second.pilot != first.pilot
    assert "the rack is wanted" in first.message
    pilot = client.pilot(first.pilot).pilot
    assert (pilot.state, pilot.reason) == (PilotState.DONE, PilotReason.HALTED)


def test_a_drain_with_a_deadline(system: System, client: Client) -> None:
    """What still runs when the time of a drain is nearly over is preempted, and goes on elsewhere."""
    job = submit_counting(client)
    first = counting(system, client, job)
    client.drain(first.pilot, "the rack is wanted", deadline=6)
    first, _ = check_went_on(client, job)
    assert "the rack is wanted" in first.message
    wait_for(lambda: client.pilot(first.pilot).pilot.reason, 30, "the pilot to be over")
    assert client.pilot(first.pilot).pilot.reason is PilotReason.DRAINED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_of_the_batch_system(system: System, client: Client, number: int) -> None:
    """A signal to the pilot ends it in good order: state saved, job on its way again."""
    job = submit_counting(client)
    first = counting(system, client, job)
    [monitor] = system.monitors(first.pilot)
    deliver(monitor, number)
    check_went_on(client, job)
    wait_for(lambda: client.pilot(first.pilot).pilot.reason, 30, "the pilot to be over")
    assert client.pilot(first.pilot).pilot.reason is PilotReason.SIGNAL


def test_the_central_dies_in_between(system: System, client: Client) -> None:
    """kill -9 of the central right after an attempt was preempted: its checkpoint is not lost."""
    job = submit_counting(client)
    first = counting(system, client, job)
    [monitor] = system.monitors(first.pilot)
    os.kill(monitor, signal.SIGTERM)
    wait_for(lambda: client.attempts(job)[0].outcome is Outcome.PREEMPTED, 60, "the report")
    system.kill()
    system.start()
    check_went_on(client, job)


def test_the_central_is_away_meanwhile(system: System, client: Client) -> None:
    """A checkpoint waits for a central that is away just then, as long as there is time."""
    job = submit_counting(client)
    first = counting(system, client, job)
    [monitor] = system.monitors(first.pilot)
    system.kill()
    os.kill(monitor, signal.SIGTERM)
    wait_for(lambda: system.attempt(job, 1, "state.ckpt"), 10, "the payload to save its state")
    system.start()
    check_went_on(client, job)
