"""The monitor as a real process, against a central that can fail on purpose, with a stand-in for the agent."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pilot.errors import ExitCode, Refusal
from pilot.ledger import problem
from pilot.protocol import Order, Settings, attempt_stream
from pilot.states import OrderVerb, Outcome, PilotReason, PilotState
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral, certificates
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent
STAND_IN = Path(__file__).parent / "stand_in_agent.py"
SECRET = "one-time-secret-of-the-test"
#: The monitor as `pilot.pyz run --config` starts it, but with the stand-in, and with less patience for a hung agent.
RUN = """
import sys
from pathlib import Path
from pilot import __main__, bootstrap
from pilot.monitor import vigil
vigil.HUNG = 6.0
bootstrap.own_archive = lambda: Path(sys.argv[1])
bootstrap.prepare = lambda archive, work: None
sys.exit(__main__.main(sys.argv[2:]))
"""


class Pilot(RealPilot):
    """One with a stand-in for its agent."""

    def __init__(self, folder: Path, central: WireCentral, **config: Any) -> None:
        ca = config.pop("ca", central.ca)
        super().__init__(folder, central.url, ca, central.secret, boot_log="boot.log", finish=10, **config)
        self.secret = self.work / "secret"
        (self.work / "boot.log").write_text("the wrapper was here\n")

    def begin(self, fault: str = "") -> "Pilot":
        """Start it; `fault` is what its agent does wrong."""
        self.start((sys.executable, "-c", RUN, str(STAND_IN)), environment={"STAND_IN": fault})
        return self

    def end(self) -> None:
        """Kill it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(idle=0, lease=600, beat=0.5, match_wait=1, log_interval=0.2, log_bound=100_000)
    with WireCentral(tmp_path, SECRET, settings) as central:
        yield central


@pytest.fixture
def pilot(tmp_path: Path, central: WireCentral) -> Iterator[Pilot]:
    pilot = Pilot(tmp_path, central)
    yield pilot
    pilot.end()
    print(pilot.log)


def test_runs_jobs_to_their_end(central: WireCentral, pilot: Pilot) -> None:
    """Jobs that wait are run, each is reported once, its log arrives, and the pilot ends idle."""
    jobs = [central.submit("sh", "-c", f"echo out {number}; echo err {number} >&2") for number in range(3)]
    assert pilot.begin().wait() == ExitCode.DONE
    assert {attempt: report.outcome for attempt, report in central.ended().items()} == {
        (job, 1): Outcome.SUCCESS for job in jobs
    }
    for number, job in enumerate(jobs):
        out, err = attempt_stream(job, 1, "stdout"), attempt_stream(job, 1, "stderr")
        assert central.log(out) == b"out %d\n" % number
        assert central.ended()[job, 1].log_sizes == {out: len(central.log(out)), err: len(central.log(err))}
        assert {out, err} <= central.closed_logs
    assert [goodbye.reason for goodbye in central.goodbyes] == [PilotReason.IDLE]
    assert not problem(central.goodbyes[0].ledger, ())
    assert not central.failures
    assert not (pilot.work / "spool").exists()


@pytest.mark.parametrize("route", ["enrol", "steps", "match", "heartbeat", "report", "log", "bye"])
def test_a_lost_reply_changes_nothing(central: WireCentral, pilot: Pilot, tmp_path: Path, route: str) -> None:
    """Whichever reply is lost, twice even, every job is run and reported once, its log is whole, nobody is alarmed."""
    central.lose[route] = 2
    ran = tmp_path / "ran"
    jobs = [central.submit("sh", "-c", f"echo {number}; echo ran >> {ran}; sleep 1") for number in range(2)]
    assert pilot.begin().wait() == ExitCode.DONE
    assert central.lose[route] == 0
    assert ran.read_text() == "ran\n" * len(jobs)
    assert {attempt: report.outcome for attempt, report in central.ended().items()} == {
        (job, 1): Outcome.SUCCESS for job in jobs
    }
    assert [central.log(attempt_stream(job, 1, "stdout")) for job in jobs] == [b"0\n", b"1\n"]
    assert not central.failures
    assert {goodbye.reason for goodbye in central.goodbyes} == {PilotReason.IDLE}
    assert len({request.session_key for request in central.enrolments}) == 1


def test_agent_killed(central: WireCentral, pilot: Pilot) -> None:
    """An agent that dies under its job: a node-fault with the agent's last words, and nothing is left running."""
    job = central.submit("sh", "-c", "echo begun; setsid sleep 1000 & sleep 1000")
    pilot.begin()
    stdout = attempt_stream(job, 1, "stdout")
    central.until(lambda: central.log(stdout) == b"begun\n")
    left = descendants(pilot.pid)
    assert len(left) >= 4
    os.kill(pilot.agent, signal.SIGKILL)
    assert pilot.wait() == ExitCode.AGENT_DIED
    report = central.ended()[job, 1]
    assert report.outcome is Outcome.NODE_FAULT
    assert "SIGKILL" in report.message
    assert "the stand-in speaks" in report.tail
    assert report.log_sizes == {stdout: 6}
    assert stdout in central.closed_logs
    assert [(bye.reason, bye.exit_code) for bye in central.goodbyes] == [(PilotReason.AGENT_DIED, ExitCode.AGENT_DIED)]
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(("fault", "said"), [("die", "exit code 7"), ("hang", "it hung")])
def test_agent_dies_or_hangs(central: WireCentral, pilot: Pilot, fault: str, said: str) -> None:
    """An agent that exits, or whose main loop hangs while it reports progress, is ended; its job is a node-fault."""
    job = central.submit("sleep", "1000")
    assert pilot.begin(fault).wait() == ExitCode.AGENT_DIED
    report = central.ended()[job, 1]
    assert report.outcome is Outcome.NODE_FAULT
    assert said in report.message
    assert "something dreadful" in report.tail


def test_agent_that_cannot_start(central: WireCentral, pilot: Pilot) -> None:
    """An agent that crashes before its first word is said goodbye for, and its traceback is in the pilot's log."""
    assert pilot.begin("crash").wait() == ExitCode.AGENT_DIED
    assert b"the stand-in crashes at its start" in central.log("pilot")
    assert central.goodbyes[0].reason is PilotReason.AGENT_DIED


def test_a_stopped_pilot_is_not_hung(central: WireCentral, pilot: Pilot) -> None:
    """A pilot whose processes are all stopped for longer than an agent may be silent goes on where it was."""
    job = central.submit("sleep", "0.5")
    pilot.begin()
    central.until(lambda: (job, 1) in central.leases)
    agent = pilot.agent
    for pid in (agent, pilot.pid):
        os.kill(pid, signal.SIGSTOP)
    heard = len(central.heartbeats)
    time.sleep(9)  # longer than HUNG, and than what a busy machine may keep a process waiting
    assert len(central.heartbeats) <= heard + 1  # one may have been on its way
    for pid in (pilot.pid, agent):
        os.kill(pid, signal.SIGCONT)
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_batch_system_ends_the_pilot(central: WireCentral, pilot: Pilot, number: signal.Signals) -> None:
    """A signal of the batch system: the payload is stopped and preempted, and the pilot says goodbye."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    os.kill(pilot.pid, number)
    assert pilot.wait() == ExitCode.PREEMPTED
    assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
    assert [bye.reason for bye in central.goodbyes] == [PilotReason.SIGNAL]


def test_signal_before_enrolment(central: WireCentral, pilot: Pilot) -> None:
    """A signal ends a pilot that no central has answered yet."""
    central.away = True
    pilot.begin()
    wait_for(lambda: "enrolment is tried again" in pilot.log)
    os.kill(pilot.pid, signal.SIGTERM)
    assert pilot.wait() == ExitCode.PREEMPTED
    assert pilot.secret.exists()


def test_central_is_away_for_a_while(central: WireCentral, pilot: Pilot) -> None:
    """While no central answers the payload goes on; its result, its log and its end arrive afterwards, once."""
    job = central.submit("sh", "-c", "echo one; sleep 2; echo two")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    port = central.port
    central.away = True
    central.close()
    wait_for(lambda: list((pilot.work / "spool").glob("*.json")))
    central.away = False
    central.open(port)
    central.until(lambda: central.goodbyes)
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS
    assert central.log(attempt_stream(job, 1, "stdout")) == b"one\ntwo\n"
    assert not central.failures


def test_central_comes_late(central: WireCentral, pilot: Pilot) -> None:
    """A pilot that is there before its central enrols when it comes, always with the same key."""
    central.lose["enrol"] = 1
    central.away = True
    pilot.begin()
    wait_for(lambda: "enrolment is tried again" in pilot.log)
    central.away = False
    assert pilot.wait() == ExitCode.DONE
    assert len({request.session_key for request in central.enrolments}) == 1


def test_undelivered(central: WireCentral, pilot: Pilot) -> None:
    """What cannot be delivered in the time there is stays in the spool, and the exit code says so."""
    job = central.submit("sleep", "1")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    central.away = True
    central.close()
    os.kill(pilot.pid, signal.SIGTERM)
    assert pilot.wait(120) == ExitCode.UNDELIVERED
    (left,) = (pilot.work / "spool").iterdir()
    assert json.loads(left.read_text())[1]["report"]["outcome"] == "preempted"
    assert left.stat().st_mode & 0o777 == 0o600
    central.open()


def test_nothing_to_deliver_and_nobody_there(central: WireCentral, pilot: Pilot) -> None:
    """A pilot that has nothing to bring home does not wait long for a central that is gone."""
    central.settings = replace(central.settings, idle=600)
    pilot.begin()
    central.until(lambda: central.heartbeats)
    central.away = True
    central.close()
    began = time.monotonic()
    os.kill(pilot.pid, signal.SIGTERM)
    assert pilot.wait(60) == ExitCode.PREEMPTED
    assert time.monotonic() - began < 30
    central.open()


def test_secrets_stay_secret(central: WireCentral, pilot: Pilot) -> None:
    """Secret and session key are in no file, argument or environment, and the job's token in no log."""
    job = central.submit("sh", "-c", "printf token-of-; sleep 1; echo job-1-is-secret; echo $TOKEN; sleep 2")
    pilot.begin()
    central.until(lambda: b"\n" in central.log(attempt_stream(job, 1, "stdout")))
    (key,) = {request.session_key for request in central.enrolments}
    assert not pilot.secret.exists()
    assert (pilot.work / "enrolled").exists()
    for pid in (pilot.pid, *descendants(pilot.pid)):
        for place in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{place}").read_bytes()
            except PermissionError:  # nobody but root may look into a process that guards itself
                continue
            assert SECRET.encode() not in content
            assert key.encode() not in content
    assert pilot.wait() == ExitCode.DONE
    for path in pilot.work.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()
            assert key.encode() not in path.read_bytes()
    stars = b"*" * len("token-of-job-1-is-secret")
    assert central.log(attempt_stream(job, 1, "stdout")) == stars + b"\n" + stars + b"\n"


@pytest.mark.parametrize("refusal", ["secret-used", "secret-expired", "superseded", "revoked"])
def test_refused_at_enrolment(central: WireCentral, pilot: Pilot, refusal: str) -> None:
    """A pilot that the central will not have exits at once and says why."""
    central.refuse["enrol"] = [Refusal(refusal, "no")]
    assert pilot.begin().wait() == ExitCode.REFUSED
    assert refusal in pilot.log
    assert not (pilot.work / "enrolled").exists()


def test_revoked(central: WireCentral, pilot: Pilot) -> None:
    """A pilot whose right is taken back stops its payloads and exits."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    central.refuse["heartbeat"] = [Refusal("revoked", "somebody stole it")] * 100
    central.refuse["report"] = [Refusal("revoked", "somebody stole it")] * 100
    assert pilot.wait() == ExitCode.REFUSED
    assert (job, 1) not in central.ended()


def test_clock_is_off(central: WireCentral, pilot: Pilot) -> None:
    """A node whose clock is an hour off is told at enrolment; when the central's clock is set it learns it again."""
    central.clock = 3600.0
    central.submit("true")
    pilot.begin()
    central.until(lambda: central.heartbeats)
    central.clock = -1800.0
    central.until(lambda: central.ended())
    assert pilot.wait() == ExitCode.DONE
    assert not central.failures


def test_token_ages(central: WireCentral, pilot: Pilot) -> None:
    """A pilot whose token has aged out renews it and goes on."""
    central.submit("sleep", "1")
    pilot.begin()
    central.until(lambda: central.heartbeats)
    for token in central.tokens:
        central.tokens[token] = False
    job = central.submit("true")
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS
    assert len(central.tokens) == 2


def test_orders(central: WireCentral, pilot: Pilot) -> None:
    """Orders are received, carried out once, and done with a result; those of another epoch are not carried out."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    central.orders = [
        Order(1, OrderVerb.HALT, epoch=2),
        Order(2, OrderVerb.SET, epoch=3, argument="log_interval=0.1"),
        Order(3, OrderVerb.SET, epoch=3, argument="colour=red"),
        Order(4, OrderVerb.FLUSH, epoch=3),
        Order(5, OrderVerb.KILL, job=99, attempt=1),
        Order(6, OrderVerb.KILL, job=job, attempt=1, reason="changed my mind", who="anna"),
    ]
    central.until(lambda: all("done" in central.acknowledged[number] for number in range(1, 7)))
    assert {number: stages["done"] for number, stages in central.acknowledged.items()} == {
        1: "stale epoch",
        2: "log_interval is 0.1 s now",
        3: "expected beat (from 1 s) or log_interval (from 0 s), got colour=red",
        4: "the logs are pushed now",
        5: "not held here",
        6: "the payload is told to stop",
    }
    central.until(lambda: (job, 1) in central.ended())
    assert central.ended()[job, 1].outcome is Outcome.KILLED
    assert pilot.wait() == ExitCode.DONE


def test_drain(central: WireCentral, pilot: Pilot) -> None:
    """A draining pilot says so, finishes what runs, takes nothing more, and ends."""
    job = central.submit("sleep", "1.5")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    central.orders = [Order(1, OrderVerb.DRAIN, epoch=3, reason="maintenance", who="otto")]
    central.until(lambda: central.heartbeats[-1].state is PilotState.DRAINING)
    other = central.submit("true")
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS
    assert (other, 1) not in central.leases
    assert central.goodbyes[0].reason is PilotReason.DRAINED
    assert "maintenance" in central.goodbyes[0].message


def test_halt(central: WireCentral, pilot: Pilot) -> None:
    """A halted pilot stops what runs, and ends; the order is done by then."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    central.orders = [Order(1, OrderVerb.HALT, epoch=3)]
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
    assert central.acknowledged[1]["done"] == "halting"
    assert central.goodbyes[0].reason is PilotReason.HALTED


def test_lease_is_gone(central: WireCentral, pilot: Pilot) -> None:
    """An attempt that belongs to somebody else now is stopped, and nothing more is said of it."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    with central.changed:
        del central.leases[job, 1]
    assert pilot.wait() == ExitCode.DONE
    assert (job, 1) not in central.ended()


def test_report_is_stale(central: WireCentral, pilot: Pilot) -> None:
    """A report that comes too late is refused and dropped, and the pilot goes on to the next job."""
    first = central.submit("sleep", "1")
    second = central.submit("true")
    pilot.begin()
    central.until(lambda: central.leases.get((first, 1)) == "running")
    central.refuse["report"] = [Refusal("stale-attempt", "the job is elsewhere now")]
    assert pilot.wait() == ExitCode.DONE
    assert set(central.ended()) == {(second, 1)}
    assert "stale-attempt" in pilot.log
    assert not (pilot.work / "spool").exists()


def test_monitor_killed(central: WireCentral, pilot: Pilot) -> None:
    """Without its monitor the agent stops its payload and exits."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    left = descendants(pilot.pid)
    os.kill(pilot.pid, signal.SIGKILL)
    pilot.wait()
    wait_for(lambda: not [pid for pid in left if alive(pid)])


def test_long_log(central: WireCentral, pilot: Pilot) -> None:
    """Of a log beyond its bound the head comes at once and the tail at its end, with a line between them."""
    program = "for number in range(40000): print('line', number)"
    job = central.submit(sys.executable, "-c", program)
    assert pilot.begin().wait() == ExitCode.DONE
    stream = attempt_stream(job, 1, "stdout")
    content = central.log(stream)
    assert len(content) == central.settings.log_bound == central.ended()[job, 1].log_sizes[stream]
    assert content.startswith(b"line 0\nline 1\n")
    assert b" bytes are left out here" in content
    assert content.endswith(b"line 39998\nline 39999\n")
    sizes = [(size, encoding) for name, _, size, encoding in central.log_requests if name == stream]
    assert all(encoding == "gzip" for size, encoding in sizes if size > 512)


def test_central_forgot_log_bytes(central: WireCentral, pilot: Pilot) -> None:
    """A central that lacks bytes of a log, as after a restore, gets them again."""
    job = central.submit("sh", "-c", "echo one; sleep 2; echo two")
    stream = attempt_stream(job, 1, "stdout")
    pilot.begin()
    central.until(lambda: central.log(stream) == b"one\n")
    with central.changed:
        central.logs[stream].clear()
    assert pilot.wait() == ExitCode.DONE
    assert central.log(stream) == b"one\ntwo\n"


def test_boot_log(central: WireCentral, pilot: Pilot) -> None:
    """What the wrapper wrote before is pushed as the stream boot, with what the pilot says as the stream pilot."""
    assert pilot.begin().wait() == ExitCode.DONE
    assert central.log("boot") == b"the wrapper was here\n"
    assert b"enrolled as" in central.log("pilot")
    assert {"boot", "pilot"} <= central.closed_logs


def test_is_small(central: WireCentral, pilot: Pilot) -> None:
    """The monitor stays within 35 MB and few connections, and beats no more than once a second."""
    central.submit("sleep", "3")
    for number in range(10):
        central.submit("echo", str(number))
    pilot.begin()
    central.until(lambda: len(central.ended()) == 11)
    status = Path(f"/proc/{pilot.pid}/status").read_text()
    (memory,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print("monitor's peak memory:", memory, "kB; connections:", central.connections)
    assert memory < 35_000
    assert pilot.wait() == ExitCode.DONE
    assert central.connections <= 4
    assert all(later - earlier > 0.9 for earlier, later in pairwise(central.beats_at))


def test_no_contact(central: WireCentral, tmp_path: Path) -> None:
    """A pilot that no central ever answers gives up after its patience, and says so."""
    central.away = True
    pilot = Pilot(tmp_path, central, patience=1)
    assert pilot.begin().wait() == ExitCode.NO_CONTACT
    assert "no central enrolled this pilot within 1 s" in pilot.log


def test_wrong_configuration(central: WireCentral, tmp_path: Path) -> None:
    """A configuration that is wrong is named, and nothing is sent."""
    pilot = Pilot(tmp_path, central, cores="many")
    assert pilot.begin().wait() == ExitCode.USAGE
    assert "cores: expected a whole number" in pilot.log
    assert not central.connections


def test_an_impostor_is_not_trusted(central: WireCentral, tmp_path: Path) -> None:
    """A server whose certificate another authority signed hears no secret."""
    folder = tmp_path / "other"
    folder.mkdir()
    other, _ = certificates(folder)
    pilot = Pilot(tmp_path, central, patience=1, ca=str(other))
    assert pilot.begin().wait() == ExitCode.NO_CONTACT
    assert not central.enrolments


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
