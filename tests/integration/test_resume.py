"""A monitor that is killed, and another that takes its place in the same folder: real processes, real kills."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pilot import procfs
from pilot.errors import ExitCode
from pilot.protocol import Settings, attempt_stream
from pilot.states import JobState, Outcome, PilotReason, PilotState
from pilot.views import PilotDetail
from tests.integration.conftest import CentralMaker
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import until
from tests.integration.wire_central import WireCentral
from tests.system import Plan, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

SECRET = "one-time-secret-of-the-test"


class Pilot(RealPilot):
    """One that may be followed."""

    @property
    def session(self) -> Path:
        return self.work / "session"

    def pid_in(self, job: int) -> int:
        """What the payload of a job wrote down as its process id, once it has."""
        path = self.work / "attempts" / f"{job}.1" / "job" / "pid"
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"), 30, f"job {job} to run", lambda: self.log)
        return int(path.read_text())

    def kill(self) -> None:
        """kill -9 of the monitor, and of nothing else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def gone(pid: int) -> bool:
    about = procfs.process(pid)
    return about is None or about.over


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(idle=2, lease=600, beat=0.5, match_wait=1, log_interval=0.2, min_disk=1_000_000)
    with WireCentral(tmp_path, SECRET, settings) as central:
        yield central


@pytest.fixture
def pilot(tmp_path: Path, central: WireCentral) -> Iterator[Pilot]:
    pilot = Pilot(tmp_path, central.url, central.ca, central.secret, resume=True)
    yield pilot
    pilot.end()
    print(pilot.log)


LONG = ("sh", "-c", "echo begun; echo $$ > pid; setsid sleep 1000 & exec sleep 1000")


def test_a_killed_monitor_is_followed_by_another(central: WireCentral, pilot: Pilot) -> None:
    """After kill -9 with a full spool the next monitor ends what runs, delivers everything, and goes on with jobs."""
    central.clock = 30.0
    done = central.submit("sh", "-c", "while [ ! -e go ]; do sleep 0.05; done; echo the last words; echo $$ > pid")
    running = central.submit(*LONG)
    pilot.start()
    payload = pilot.pid_in(running)
    agent = pilot.agent
    central.until(lambda: central.log(attempt_stream(running, 1, "stdout")) == b"begun\n")
    central.away = True
    (pilot.work / "attempts" / f"{done}.1" / "job" / "go").touch()
    wait_for(lambda: not (pilot.work / "attempts" / f"{done}.1").exists(), 20, "the end of a job", lambda: pilot.log)
    assert list((pilot.work / "spool").glob("*.json"))
    mode = pilot.session.stat()
    assert (stat.S_IMODE(mode.st_mode), mode.st_uid) == (0o600, os.geteuid())
    pilot.kill()
    central.away = False
    after = central.submit("echo", "after")
    pilot.start()
    assert pilot.wait() == ExitCode.DONE
    assert gone(payload)
    assert gone(agent)
    ended = central.ended()
    assert {attempt: report.outcome for attempt, report in ended.items()} == {
        (done, 1): Outcome.SUCCESS,
        (running, 1): Outcome.NODE_FAULT,
        (after, 1): Outcome.SUCCESS,
    }
    assert "monitor process died" in ended[running, 1].message
    assert ended[running, 1].log_sizes == {attempt_stream(running, 1, "stdout"): 6}
    for job, said in ((done, b"the last words\n"), (running, b"begun\n"), (after, b"after\n")):
        assert central.log(attempt_stream(job, 1, "stdout")) == said
        assert attempt_stream(job, 1, "stdout") in central.closed_logs
    assert [request.epoch for request in central.resumes] == [3]
    assert {request.epoch for request in central.heartbeats} == {3, 4}
    assert len({request.session_key for request in central.enrolments}) == 1
    assert [goodbye.reason for goodbye in central.goodbyes] == [PilotReason.IDLE]
    assert central.log("pilot") == (pilot.work / "pilot.log").read_bytes()
    assert not central.failures
    assert not pilot.session.exists()
    assert not (pilot.work / "logs").exists()
    assert not (pilot.work / "spool").exists()


def test_a_folder_has_one_monitor(central: WireCentral, pilot: Pilot) -> None:
    """While a monitor lives, stopped or not, another is refused the folder, and told who has it."""
    running = central.submit(*LONG)
    pilot.start()
    payload = pilot.pid_in(running)
    os.kill(pilot.pid, signal.SIGSTOP)
    try:
        other = subprocess.run(
            [sys.executable, "-m", "pilot", "run", "--config", str(pilot.config)], capture_output=True, text=True
        )
    finally:
        os.kill(pilot.pid, signal.SIGCONT)
    assert other.returncode == ExitCode.USAGE
    assert f"process {pilot.pid} holds" in other.stderr
    assert not gone(payload)
    assert not central.resumes


def test_the_central_itself_hears_it_all(make_central: CentralMaker, tmp_path: Path) -> None:
    """With the real central, away while the monitor is killed: what ended is told, what ran is a node fault and runs
    again, each byte of the logs is there once, and the machine is the same pilot in its second epoch."""
    central = make_central()
    stamp, secret = central.plan()
    ann = central.person("ann")
    script = "while [ ! -e go ]; do sleep 0.05; done; echo 42 > result; echo the last words"
    done = ann.submit_one(command=["sh", "-c", script], outputs=["result"])
    running = ann.submit_one(command=["sh", "-c", "echo begun; echo $$ > pid; [ $PILOTAGE_ATTEMPT = 2 ] || sleep 1000"])
    pilot = Pilot(tmp_path, central.url, central.ca, secret, stamp=stamp, resume=True)
    pilot.start()
    try:
        payload = pilot.pid_in(running)
        until(lambda: ann.get(f"/v1/jobs/{running}/logs/stdout").content == b"begun\n", "the log")
        central.kill()
        (pilot.work / "attempts" / f"{done}.1" / "job" / "go").touch()
        unfinished = pilot.work / "attempts" / f"{done}.1" / "unfinished.json"
        wait_for(unfinished.exists, 20, "outputs that wait", lambda: pilot.log)
        assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
        pilot.kill()
        central.start()
        pilot.start()
        until(lambda: ann.job(running).state is JobState.DONE, "the second attempt")
        assert gone(payload)
        assert [one.outcome for one in ann.attempts(running)] == [Outcome.NODE_FAULT, Outcome.SUCCESS]
        assert "monitor process died" in ann.attempts(running)[0].message
        assert [one.outcome for one in ann.attempts(done)] == [Outcome.SUCCESS]
        assert [output.name for output in ann.attempts(done)[0].outputs] == ["result"]
        until(lambda: ann.get(f"/v1/jobs/{done}/logs/stdout").content == b"the last words\n", "the last words")
        first = ann.get(f"/v1/jobs/{running}/logs/stdout", params={"attempt": 1})
        assert (first.content, first.headers["Pilotage-Complete"]) == (b"begun\n", "true")
        seen = ann.read(f"/v1/pilots/{stamp}", PilotDetail)
        assert seen.pilot.state is PilotState.RUNNING
        assert "discover" in {step.command for step in seen.steps}
    finally:
        pilot.end()
        print(pilot.log)
    assert not pilot.session.exists()


def test_a_killed_pilot_leaves_nothing_running(central: WireCentral, pilot: Pilot) -> None:
    """After kill -9 of monitor and agent alike the next monitor ends what fled from both, and masks what it said."""
    flee = "(setsid sh -c 'echo $$ > fled; exec sleep 1000' &) ; while [ ! -e fled ]; do sleep 0.05; done; "
    speak = "while [ ! -e go ]; do sleep 0.05; done; cat $PILOTAGE_JOB_TOKEN_FILE; echo $$ > pid; exec sleep 1000"
    job = central.submit("sh", "-c", flee + speak)
    pilot.start()
    place = pilot.work / "attempts" / f"{job}.1"
    wait_for(lambda: (place / "job" / "fled").exists(), 30, "the job to run", lambda: pilot.log)
    central.away = True
    (place / "job" / "go").touch()
    pids = [pilot.pid_in(job), int((place / "job" / "fled").read_text()), pilot.agent]
    pilot.kill()
    os.kill(pids[-1], signal.SIGKILL)
    central.away = False
    pilot.start()
    assert pilot.wait() == ExitCode.DONE
    assert [gone(pid) for pid in pids] == [True] * 3
    assert central.ended()[job, 1].outcome is Outcome.NODE_FAULT
    token = f"token-of-job-{job}-is-secret".encode()
    assert central.log(attempt_stream(job, 1, "stdout")) == b"*" * len(token)
    assert not place.exists()


def test_who_was_overtaken_stops(central: WireCentral, pilot: Pilot, tmp_path: Path) -> None:
    """A monitor that wakes up when another has taken its session elsewhere is refused, ends its payloads, and goes."""
    job = central.submit(*LONG)
    pilot.start()
    payload = pilot.pid_in(job)
    os.kill(pilot.pid, signal.SIGSTOP)
    (tmp_path / "elsewhere").mkdir()
    other = Pilot(tmp_path / "elsewhere", central.url, central.ca, central.secret, resume=True)
    try:
        shutil.copy2(pilot.session, other.session)
        other.start()
        central.until(lambda: central.heartbeats[-1].epoch == 4)
        after = central.submit("true")
        central.until(lambda: (after, 1) in central.ended())
        os.kill(pilot.pid, signal.SIGCONT)
        assert pilot.wait() == ExitCode.REFUSED
        assert gone(payload)
        assert central.left_behind == [(job, 1)]
        assert other.wait() == ExitCode.DONE
    finally:
        other.end()
    assert not pilot.session.exists()


def test_a_session_of_another_start_of_the_machine_is_refused(central: WireCentral, pilot: Pilot) -> None:
    """It says whose it is, and speaks to nobody."""
    session = {"stamp": pilot.stamp, "key": "AAAA", "instance": "another start", "epoch": 3, "token": "x"}
    pilot.session.write_text(json.dumps(session))
    pilot.session.chmod(0o600)
    assert pilot.start().wait() == ExitCode.USAGE
    assert "got one of another start" in pilot.log
    assert not central.resumes
    assert not central.enrolments


def test_a_lost_reply_to_a_resume_changes_nothing(central: WireCentral, pilot: Pilot) -> None:
    """It is asked for again under the same epoch, and raised once."""
    job = central.submit(*LONG)
    pilot.start()
    pilot.pid_in(job)
    pilot.kill()
    central.lose["resume"] = 2
    assert pilot.start().wait() == ExitCode.DONE
    assert [request.epoch for request in central.resumes] == [3, 3, 3]
    assert central.epoch == 4
    assert central.ended()[job, 1].outcome is Outcome.NODE_FAULT
    assert not central.failures


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts payloads as other users")
def test_no_payload_can_read_the_session(central: WireCentral) -> None:
    """Where payloads are users of their own a session is kept without being asked for, and none of them can read it."""
    place = Path(tempfile.mkdtemp(prefix="pilotage-resume-"))
    place.chmod(0o711)
    litter = Path(tempfile.gettempdir()) / "pilotage-resume-litter"
    script = f"id -u; touch {litter}; ls ../../../session; cat ../../../session ../../../logs/*; "
    script += "ls ../../../logs ../../..; "
    pilot = Pilot(place, central.url, central.ca, central.secret, slot_users="29100-29101")
    pilot.folder.chmod(0o711)
    try:
        job = central.submit("sh", "-c", script + "echo $$ > pid; exec sleep 1000")
        pilot.start()
        payload = pilot.pid_in(job)
        assert pilot.session.stat().st_mode & 0o777 == 0o600
        stdout, stderr = (attempt_stream(job, 1, kind) for kind in ("stdout", "stderr"))
        central.until(lambda: central.log(stdout).count(b"\n") == 2)
        assert central.log(stdout).split() == [b"29100", b"../../../session"]
        central.until(lambda: central.log(stderr).count(b"denied") == 4)
        pilot.kill()
        assert litter.exists()
        assert pilot.start().wait() == ExitCode.DONE
        assert gone(payload)
        assert not litter.exists()
        assert central.log(stdout).split() == [b"29100", b"../../../session"]
        assert not pilot.session.exists()
    finally:
        pilot.end()
        print(pilot.log)
        shutil.rmtree(place)


def test_the_wrapper_starts_a_killed_monitor_again(tmp_path: Path) -> None:
    """kill -9 of a monitor that a director sent: the same pilot goes on in seconds, not when its lease is over."""
    plan = Plan(lease="600 s", queue="resume = true")
    with running_system(tmp_path / "central", plan) as system, system.client() as ann:
        script = "echo begun; [ $PILOTAGE_ATTEMPT = 2 ] || sleep 1000"
        [job] = ann.submit([{"command": ["sh", "-c", script]}]).ids
        wait_for(lambda: ann.job(job).job.state is JobState.RUNNING, 60, "the job to run", system.log)
        wait_for(lambda: ann.logs(job) == b"begun\n", 60, "what it says", system.log)
        stamp = ann.attempts(job)[0].pilot
        [monitor] = system.monitors(stamp)
        deliver(monitor, signal.SIGKILL)
        ann.wait([job], timeout=60)
        attempts = ann.attempts(job)
        assert [one.outcome for one in attempts] == [Outcome.NODE_FAULT, Outcome.SUCCESS]
        assert {one.pilot for one in attempts} == {stamp}
        assert ann.job(job).retries_used == 0
        numbers = [step.number for step in ann.pilot(stamp).steps if step.command == "discover"]
        assert len(numbers) == 2


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """However often a monitor is killed, and whenever, each job succeeds once, and all that it said is there once."""
    plan = Plan(lease="600 s", queue="resume = true")
    with running_system(tmp_path / "central", plan) as system, system.client() as ann:
        script = "for n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 0.1; done; echo 42 > result"
        document = {"command": ["sh", "-c", script], "outputs": ["result"], "sweep": {"n": "1..12"}}
        jobs = list(ann.submit([document]).ids)
        dice = random.Random(5)

        def at_least(number: int) -> bool:
            return sum(ann.job(job).job.state is JobState.DONE for job in jobs) >= number

        def whole(job: int) -> bool:
            return ann.logs(job) == b"".join(b"line %d\n" % n for n in range(1, 9))

        for done in (1, 3, 5):
            wait_for(partial(at_least, done), 90, f"{done} jobs to be done", system.log)
            time.sleep(dice.uniform(0.0, 1.0))
            [monitor] = wait_for(system.monitors, 60, "the monitor to be there")
            deliver(monitor, signal.SIGKILL)
        ann.wait(jobs, timeout=120)
        for job in jobs:
            outcomes = [one.outcome for one in ann.attempts(job)]
            assert outcomes[-1] is Outcome.SUCCESS
            assert set(outcomes[:-1]) <= {Outcome.NODE_FAULT, None}
            wait_for(partial(whole, job), 30, f"the log of job {job}")
        assert len({one.pilot for job in jobs for one in ann.attempts(job)}) == 1
