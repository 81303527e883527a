"""Bad days: whatever dies or is lost, every job ends exactly once and everything it printed is there once.

Real central, real director, real `pilot.pyz`, real kills.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilot.protocol import attempt_stream
from pilot.states import JobState, Outcome, PilotReason, PilotState
from pilot.views import AttemptView
from pilotage import Client
from tests.integration.lossy import Weather, system_in_weather
from tests.system import Plan, System, check_log, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

#: Prints numbered lines for a while, and leaves a file; the last line says that it came to its end.
CHATTY = (
    "import sys, time\n"
    "for n in range(int(sys.argv[1])):\n"
    "    print('line', n, flush=True); time.sleep(0.1)\n"
    "open('result.txt', 'w').write('done ' + sys.argv[2])\n"
)


def chatty(steps: int, **more: Any) -> dict[str, Any]:
    """A job that runs for `steps` tenths of a second."""
    return {"command": ["python3", "-c", CHATTY, str(steps), "one"], "outputs": ["result.txt"], **more}


def lines(steps: int) -> bytes:
    return "".join(f"line {n}\n" for n in range(steps)).encode()


def submit(client: Client, *documents: dict[str, Any]) -> list[int]:
    return list(client.submit(list(documents)).ids)


def until_state(client: Client, job: int, *states: JobState, seconds: float = 60) -> None:
    wait_for(lambda: client.job(job).job.state in states, seconds, f"job {job} to be {[s.value for s in states]}")


def running_attempt(system: System, client: Client, job: int) -> AttemptView:
    """Wait until the payload has begun to work, and return its attempt."""
    until_state(client, job, JobState.RUNNING)
    return client.attempts(job)[-1]


def check_all_once(client: Client, jobs: list[int], seconds: float = 120) -> None:
    """Every job is done, by exactly one successful attempt."""
    client.wait(jobs, timeout=seconds)
    for job in jobs:
        assert client.job(job).job.state is JobState.DONE, client.attempts(job)
        outcomes = [attempt.outcome for attempt in client.attempts(job)]
        assert outcomes.count(Outcome.SUCCESS) == 1, outcomes
        assert outcomes[-1] is Outcome.SUCCESS


# -- processes die ----------------------------------------------------------------------------------------------------


def test_central_killed_in_the_middle(system: System, client: Client) -> None:
    """kill -9 of the central, twice, while a sweep runs: every job ends once, every byte of its log is there once."""
    jobs = list(
        client.submit(
            {"command": ["python3", "-c", CHATTY, "15", "{n}"], "outputs": ["result.txt"], "sweep": {"n": "1..8"}}
        ).ids
    )
    for _ in range(2):
        wait_for(lambda: any(client.job(job).job.state is JobState.RUNNING for job in jobs), 60, "a running job")
        system.kill()
        system.start()
    check_all_once(client, jobs)
    for number, job in enumerate(jobs, start=1):
        check_log(client, job, lines(15))
        assert [item.name for item in client.outputs(job).outputs] == ["result.txt"], number
        # A lease whose answer died with the central was given back unstarted: that attempt has no outcome.
        assert [a.outcome for a in client.attempts(job) if a.outcome] == [Outcome.SUCCESS]


def test_agent_killed(system: System, client: Client) -> None:
    """kill -9 of an agent: its attempt ends as a node fault that says so, uncharged, and the job is done elsewhere."""
    [job] = submit(client, chatty(30))
    first = running_attempt(system, client, job)
    [agent] = system.agents(first.pilot)
    deliver(agent, signal.SIGKILL)
    check_all_once(client, [job])
    attempts = client.attempts(job)
    assert [attempt.outcome for attempt in attempts] == [Outcome.NODE_FAULT, Outcome.SUCCESS]
    assert "agent" in attempts[0].message
    assert client.job(job).retries_used == 0
    wait_for(lambda: client.pilot(first.pilot).pilot.state is PilotState.FAILED, 20, "the pilot to be over")
    assert client.pilot(first.pilot).pilot.reason is PilotReason.AGENT_DIED


def test_monitor_killed(tmp_path: Path) -> None:
    """kill -9 of a monitor: the agent stops its payloads, the job goes back, and nothing of the pilot is left."""
    plan = Plan(slots=2, lease="10 s", silent_after="6 s")
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        [job] = submit(client, chatty(100))
        first = running_attempt(system, client, job)
        [monitor] = system.monitors(first.pilot)
        deliver(monitor, signal.SIGKILL)
        wait_for(lambda: not system.processes("", first.pilot), 30, "the pilot's processes to end")
        until_state(client, job, JobState.WAITING, JobState.MATCHED, JobState.RUNNING)
        wait_for(lambda: len(client.attempts(job)) == 2, 90, "a second attempt")
        assert client.attempts(job)[0].outcome in (Outcome.LOST, Outcome.NODE_FAULT)
        assert client.job(job).retries_used == 0


def test_payload_killed(system: System, client: Client) -> None:
    """A payload killed by somebody else ends as its own error, with the signal, and the pilot goes on."""
    [job] = submit(client, {"command": ["sh", "-c", "echo before; kill -9 $$"]})
    client.wait([job], timeout=180)
    [attempt] = client.attempts(job)
    assert (attempt.outcome, attempt.signal) == (Outcome.PAYLOAD_ERROR, signal.SIGKILL)
    check_log(client, job, b"before\n")
    [again] = submit(client, {"command": ["true"]})
    client.wait([again], timeout=180)
    assert client.attempts(again)[0].pilot == attempt.pilot


def stopped_past_its_lease(system: System, client: Client, first: AttemptView) -> None:
    """Stop a whole pilot with its payloads until the job of its attempt has a second one, then let it go on."""
    stopped = system.processes("", first.pilot)
    for pid in [*stopped, *payloads(stopped)]:
        deliver(pid, signal.SIGSTOP)
    wait_for(lambda: len(client.attempts(first.job)) == 2, 60, "a second attempt")
    for pid in [*stopped, *payloads(stopped)]:
        deliver(pid, signal.SIGCONT)


def test_pilot_stopped_past_its_lease(tmp_path: Path) -> None:
    """A whole pilot under SIGSTOP past its lease: requeued once; after SIGCONT its words change nothing."""
    plan = Plan(slots=2, cores=1, lease="4 s", silent_after="3 s")
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        [job] = submit(client, chatty(80))
        first = running_attempt(system, client, job)
        stopped_past_its_lease(system, client, first)
        check_all_once(client, [job])
        attempts = client.attempts(job)
        assert [attempt.outcome for attempt in attempts] == [Outcome.LOST, Outcome.SUCCESS]
        assert attempts[1].pilot != first.pilot
        check_log(client, job, lines(80))


def payloads(pids: list[int]) -> list[int]:
    """Everything that descends from these processes."""
    found: list[int] = []
    for pid in pids:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue
        found += [*children, *payloads(children)]
    return found


def test_no_pilot_is_doubled_by_crashes(tmp_path: Path) -> None:
    """kill -9 of the central just after pilots were started, again and again: never more pilots than slots."""
    with running_system(tmp_path / "central", Plan(slots=2, cores=1)) as system, system.client() as client:
        jobs = submit(client, chatty(40), chatty(40))
        for _ in range(3):
            system.kill()
            assert len(system.monitors()) <= 2
            system.start()
        check_all_once(client, jobs)
        assert len(list(client.pilots())) <= 2


# -- replies are lost -------------------------------------------------------------------------------------------------


@pytest.fixture
def weathered(tmp_path: Path) -> Iterator[tuple[System, Client, Weather]]:
    """A system whose pilots reach the central through a network that a test can spoil."""
    with system_in_weather(tmp_path / "central", Plan(idle="5 s")) as found:
        yield found


@pytest.mark.parametrize(
    "request_line",
    ["POST .*/enrol", "POST .*/match", "POST .*/heartbeat", "POST .*/report", "PUT /v1/logs/.*stdout", "POST .*/steps"],
)
def test_a_lost_reply_of_each_kind(weathered: tuple[System, Client, Weather], request_line: str) -> None:
    """Each kind of reply lost once or twice: nothing is lost, nothing happens twice, no alarm is raised."""
    _, client, weather = weathered
    weather.lose[request_line] = 2
    jobs = list(client.submit({"command": ["python3", "-c", CHATTY, "12", "{n}"], "sweep": {"n": "1..3"}}).ids)
    check_all_once(client, jobs)
    wait_for(lambda: weather.lost[request_line] == 2, 20, f"two replies of {request_line} to be lost")
    for job in jobs:
        check_log(client, job, lines(12))
        assert [attempt.outcome for attempt in client.attempts(job)] == [Outcome.SUCCESS]
    pilots = list(client.pilots())
    assert [pilot.alarm for pilot in pilots] == [""]


def test_central_away(weathered: tuple[System, Client, Weather]) -> None:
    """The central cannot be reached for a while: payloads go on, their results arrive afterwards."""
    _, client, weather = weathered
    [job] = submit(client, chatty(30))
    until_state(client, job, JobState.RUNNING)
    weather.away = True
    attempt = client.attempts(job)[-1]
    wait_for(lambda: result_file(weathered[0], job, attempt.attempt), 30, "the payload to finish all the same")
    assert client.job(job).job.state is JobState.RUNNING
    weather.away = False
    check_all_once(client, [job])
    assert len(client.attempts(job)) == 1
    check_log(client, job, lines(30))


def result_file(system: System, job: int, attempt: int) -> list[Path]:
    return system.attempt(job, attempt, "result.txt")


# -- payloads misbehave -----------------------------------------------------------------------------------------------

HOG = "import time; x = bytearray(400_000_000); time.sleep(60)"
MISBEHAVIOURS: dict[str, tuple[dict[str, Any], Callable[[AttemptView], bool]]] = {
    "exits by its own signal": (
        {"command": ["sh", "-c", "kill -TERM $$"]},
        lambda a: a.outcome is Outcome.PAYLOAD_ERROR and a.signal == signal.SIGTERM,
    ),
    "exits non-zero": (
        {"command": ["sh", "-c", "echo oops >&2; exit 3"]},
        lambda a: a.outcome is Outcome.PAYLOAD_ERROR and a.exit_code == 3 and "oops" in a.tail,
    ),
    "does not exist": (
        {"command": ["no-such-program"]},
        lambda a: a.outcome is Outcome.PAYLOAD_ERROR and "no-such-program" in a.message,
    ),
    "takes too long and ignores SIGTERM": (
        {
            "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
            "needs": {"wall_time": "2 s"},
            "grace": 1,
        },
        lambda a: a.outcome is Outcome.LIMIT_EXCEEDED and a.limit == "wall_time",
    ),
    "takes too much memory": (
        {"command": ["python3", "-c", HOG], "needs": {"memory": "100 MB"}},
        lambda a: a.outcome is Outcome.LIMIT_EXCEEDED and a.limit == "memory",
    ),
    "fills its disk": (
        {"command": ["sh", "-c", "head -c 300000000 /dev/zero > big; sleep 60"], "needs": {"disk": "50 MB"}},
        lambda a: a.outcome is Outcome.LIMIT_EXCEEDED and a.limit == "disk",
    ),
    "forks away": (
        {"command": ["sh", "-c", "setsid sh -c 'sleep 300' >/dev/null 2>&1 & echo started"]},
        lambda a: a.outcome is Outcome.SUCCESS,
    ),
    "leaves out an output": (
        {"command": ["true"], "outputs": ["absent.txt"]},
        lambda a: "absent.txt" in a.message,
    ),
}


def test_misbehaving_payloads(system: System, client: Client) -> None:
    """Each kind of misbehaviour has its named outcome, and the well-behaved job beside them does not suffer."""
    names = list(MISBEHAVIOURS)
    jobs = submit(client, *(MISBEHAVIOURS[name][0] for name in names), {"command": ["echo", "fine"]})
    client.wait(jobs, timeout=540)
    for name, job in zip(names, jobs, strict=False):
        attempts = client.attempts(job)
        assert len(attempts) == 1, name
        assert MISBEHAVIOURS[name][1](attempts[0]), (name, attempts[0])
    check_log(client, jobs[-1], b"fine\n")
    pilot = client.attempts(jobs[-1])[-1].pilot
    assert client.pilot(pilot).pilot.state is PilotState.RUNNING
    # What forked away is gone as well.
    assert [pid for pid in payloads(system.agents(pilot)) if "sleep" in command(pid)] == []


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_hundred_megabytes_of_output(system: System, client: Client) -> None:
    """A payload that prints 100 MB: head and tail are kept, the gap is marked, and others do not wait for it."""
    loud, quiet = submit(
        client,
        {"command": ["sh", "-c", "echo first; head -c 100000000 /dev/zero | tr '\\0' 'x'; echo; echo last"]},
        {"command": ["echo", "quiet"]},
    )
    client.wait([loud, quiet], timeout=360)
    check_log(client, quiet, b"quiet\n")
    assert client.job(loud).job.state is JobState.DONE
    size = client.attempts(loud)[-1].log_sizes[attempt_stream(loud, 1, "stdout")]
    wait_for(lambda: len(client.logs(loud)) == size, 60, "all that is kept of the log")
    log = client.logs(loud)
    assert log.startswith(b"first\nxxx")
    assert log.endswith(b"xxx\nlast\n")
    assert 1_000_000 < len(log) < 20_000_000


def test_not_utf8(system: System, client: Client) -> None:
    """Bytes that are no text come back as the bytes that they were."""
    [job] = submit(client, {"command": ["python3", "-c", "import os; os.write(1, bytes(range(256)))"]})
    client.wait([job], timeout=180)
    check_log(client, job, bytes(range(256)))


# -- people intervene -------------------------------------------------------------------------------------------------


def test_kill_one_of_many(system: System, client: Client) -> None:
    """A kill reaches its payload's whole tree within seconds and touches no other job."""
    doomed, other = submit(
        client, {"command": ["sh", "-c", "trap '' TERM; sleep 500 & wait; sleep 500"], "grace": 1}, chatty(60)
    )
    until_state(client, doomed, JobState.RUNNING)
    until_state(client, other, JobState.RUNNING)
    [result] = client.kill([doomed])
    assert result.changed
    assert client.job(doomed).job.state is JobState.KILLED
    pilot = client.attempts(other)[-1].pilot
    wait_for(lambda: not any("500" in command(pid) for pid in payloads(system.agents(pilot))), 15, "its end")
    check_all_once(client, [other])
    assert client.job(doomed).job.state is JobState.KILLED
    assert client.attempts(doomed)[-1].outcome is Outcome.KILLED


def test_drain(system: System, client: Client) -> None:
    """A drained pilot finishes what runs, takes nothing new, and ends as drained."""
    [job] = submit(client, chatty(40))
    first = running_attempt(system, client, job)
    client.drain(first.pilot, reason="test")
    wait_for(lambda: client.pilot(first.pilot).pilot.state is not PilotState.RUNNING, 20, "it to drain")
    [later] = submit(client, {"command": ["true"]})
    check_all_once(client, [job])
    wait_for(lambda: client.pilot(first.pilot).pilot.state is PilotState.DONE, 30, "it to end")
    assert client.pilot(first.pilot).pilot.reason is PilotReason.DRAINED
    check_all_once(client, [later])
    assert client.attempts(later)[-1].pilot != first.pilot


def test_halt(system: System, client: Client) -> None:
    """A halted pilot stops at once; its job goes back uncharged as preempted and is done by another pilot."""
    [job] = submit(client, chatty(40))
    first = running_attempt(system, client, job)
    client.halt(first.pilot, reason="test")
    wait_for(lambda: client.pilot(first.pilot).pilot.state is PilotState.DONE, 40, "it to end")
    assert client.pilot(first.pilot).pilot.reason is PilotReason.HALTED
    check_all_once(client, [job])
    assert client.attempts(job)[0].outcome is Outcome.PREEMPTED
    assert client.job(job).retries_used == 0


def test_the_batch_system_ends_a_pilot(system: System, client: Client) -> None:
    """SIGTERM to the wrapper is preemption: reported as such, uncharged, and the job is done by another pilot."""
    [job] = submit(client, chatty(40))
    first = running_attempt(system, client, job)
    [wrapper] = [pid for pid in system.processes("", first.pilot) if "wrapper.sh" in command(pid)]
    deliver(wrapper, signal.SIGTERM)
    check_all_once(client, [job])
    assert client.attempts(job)[0].outcome is Outcome.PREEMPTED
    assert client.pilot(first.pilot).pilot.reason is PilotReason.SIGNAL
    assert not os.path.exists(f"/proc/{wrapper}")


# -- explain ----------------------------------------------------------------------------------------------------------


def test_explain_what_can_never_run(system: System, client: Client) -> None:
    """A job for 1,000 cores and one for an unknown tag say, each, which need fails where, at submission and after."""
    submission = client.submit(
        [
            {"command": ["true"], "needs": {"cores": 1000}},
            {"command": ["true"], "needs": {"tags": "unobtainium"}},
            {"command": ["sleep", "20"]},
        ]
    )
    cores, tag, fine = submission.ids
    assert len(submission.warnings) == 2
    until_state(client, fine, JobState.RUNNING)
    # The pilot may speak to another central than we do: what it offers gets around with the next flush.
    wait_for(lambda: client.explain_job(cores).pilots == 1, 15, "the central to know the pilot")
    for job, need, asked in ((cores, "cores", "1,000"), (tag, "tags", "unobtainium")):
        explanation = client.explain_job(job)
        assert (explanation.pilots, explanation.fitting_pilots, explanation.queues) == (1, 0, 1)
        [failure] = [failure for failure in explanation.failures if failure.need == need]
        assert (failure.pilots, failure.queues) == (1, 1)
        assert asked in failure.asked
        assert explanation.nearest
    client.kill([cores, tag, fine])
