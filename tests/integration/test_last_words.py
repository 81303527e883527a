"""What is read of a pilot that ended badly: its owner's job and log, and what the operator sees of the pilot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from pilot.states import JobState, Outcome, PilotState
from pilot.views import AttemptView
from pilotage import Client
from tests.integration.lossy import Weather, system_in_weather
from tests.system import Plan, System, check_log, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

#: Says that it is there, waits for a word of the test, and says so.
WORK = ["sh", "-c", "echo begun; while [ ! -e go ]; do sleep 0.05; done; echo went on; sleep 300"]
SHORT = Plan(slots=1, cores=1, lease="6 s", silent_after="3 s", idle="60 s")


def begun(client: Client, job: int) -> AttemptView:
    """Wait until what the payload has printed so far is at the central."""
    wait_for(lambda: client.job(job).job.state is JobState.RUNNING, 60, "the job to run")
    wait_for(lambda: client.logs(job) == b"begun\n", 30, "the first line")
    return client.attempts(job)[-1]


def over(client: Client, job: int) -> AttemptView:
    wait_for(lambda: client.attempts(job)[0].ended is not None, 60, "the first attempt to be over")
    return client.attempts(job)[0]


def test_a_pilot_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of everything on the node at once: the owner reads what was pushed until then and that the attempt was
    lost through no fault of the job; the operator reads the pilot's last lines, and that it never said goodbye."""
    with running_system(tmp_path / "central", SHORT) as system, system.client() as client:
        (job,) = client.submit({"command": WORK}).ids
        first = begun(client, job)
        wait_for(lambda: b"cores for jobs" in client.pilot_logs(first.pilot), 20, "the pilot's log")
        said = client.pilot_logs(first.pilot)
        for pid in system.processes("", first.pilot):
            deliver(pid, SIGKILL)
        ended = over(client, job)
        assert ended.outcome is Outcome.LOST
        assert ended.message
        assert b"".join(client.follow(job, attempt=1)) == b"begun\n"
        assert client.job(job).retries_used == 0
        wait_for(lambda: client.pilot(first.pilot).pilot.ended is not None, 60, "the pilot to be over")
        seen = client.pilot(first.pilot).pilot
        assert seen.state in (PilotState.LOST, PilotState.FAILED)
        assert seen.reason is not None
        wait_for(lambda: b"".join(client.follow_pilot(first.pilot)), 30, "the end of the pilot's log")
        assert client.pilot_logs(first.pilot).startswith(said)
        assert b"agent: " in said
        client.kill([job])


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[tuple[System, Client, Weather]]:
    """A system whose pilots reach the central through a network that can be cut."""
    with system_in_weather(tmp_path / "central", SHORT) as found:
        yield found


def test_a_node_that_is_cut_off(cut: tuple[System, Client, Weather]) -> None:
    """While nothing comes from the node the owner reads what came before, and then that the lease ran out; the pilot
    is shown as silent. When it is back, what was printed meanwhile arrives, though the attempt is not its any more."""
    system, client, weather = cut
    (job,) = client.submit({"command": WORK}).ids
    first = begun(client, job)
    weather.away = True
    (go,) = system.attempt(job, 1, ".")
    (go / "go").touch()
    ended = over(client, job)
    assert ended.outcome is Outcome.LOST
    assert "lease" in ended.message
    assert client.logs(job, attempt=1) == b"begun\n"
    wait_for(lambda: client.pilot(first.pilot).pilot.state is PilotState.SILENT, 30, "the pilot to be silent")
    client.kill([job])
    weather.away = False
    wait_for(lambda: client.logs(job, attempt=1) == b"begun\nwent on\n", 60, "what was printed while it was cut off")
    assert client.attempts(job)[0].outcome is Outcome.LOST


def test_a_payload_that_takes_too_much(tmp_path: Path) -> None:
    """Out of memory or out of disk: the owner reads the limit by its name and the last lines that were printed."""
    memory = "print('last line', flush=True)\nkept = []\nwhile True: kept.append(bytearray(10_000_000))"
    disk = (
        "print('last line', flush=True)\nimport time\nfile = open('large', 'wb')\n"
        "while True: file.write(bytes(1_000_000)); file.flush(); time.sleep(0.01)"
    )
    with running_system(tmp_path / "central", Plan(cores=2)) as system, system.client() as client:
        jobs = client.submit(
            [
                {"command": ["python3", "-c", memory], "needs": {"memory": "200 MB"}},
                {"command": ["python3", "-c", disk], "needs": {"disk": "100 MB"}},
            ]
        ).ids
        client.wait(list(jobs), timeout=360)
        for job, limit in zip(jobs, ("memory", "disk"), strict=True):
            (attempt,) = client.attempts(job)
            assert (attempt.outcome, attempt.limit) == (Outcome.LIMIT_EXCEEDED, limit)
            assert attempt.message
            assert attempt.tail.rstrip().endswith("last line")
            check_log(client, job, b"last line\n")
