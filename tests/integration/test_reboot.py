"""A virtual machine that is switched off in the middle, started again, and copied: real processes, killed all at once.

The machine is one mount namespace after another, in which the id of the boot and that of the instance are files of the
test's.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.errors import ExitCode
from pilot.payloads.slot_users import processes_of
from pilot.protocol import Settings, attempt_stream
from pilot.states import Outcome, PilotReason
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral
from tests.system import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be a virtual machine's pilot"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no program unshare"),
]

USERS = range(29_200, 29_204)
SECRET = "one-time-secret-of-the-test"
#: In the shell's words: $1 is a folder that stands in for /var/lib, $2 a file with the id of the boot.
MACHINE = (
    'mount --bind "$1" /var/lib && mount --bind "$2" /proc/sys/kernel/random/boot_id || exit 99; shift 2; exec "$@"'
)


class Machine:
    """What makes a computer be one and the same virtual machine, or another."""

    def __init__(self, folder: Path, instance: str) -> None:
        self.lib = folder / instance / "lib"
        (self.lib / "cloud/data").mkdir(parents=True)
        (self.lib / "cloud/data/instance-id").write_text(f"{instance}\n")
        self.boot = folder / instance / "boot_id"
        self.boots = 0

    def start(self, pilot: RealPilot) -> None:
        """Boot: the pilot is the first that runs."""
        self.boots += 1
        self.boot.write_text(f"boot-{self.boots}\n")
        here = ("unshare", "--mount", "sh", "-c", MACHINE, "machine", str(self.lib), str(self.boot))
        pilot.start((*here, sys.executable, "-m", "pilot"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place that other users can get to."""
    place = Path(tempfile.mkdtemp(prefix="pilotage-reboot-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def central(folder: Path) -> Iterator[WireCentral]:
    settings = Settings(idle=2, lease=600, beat=0.5, match_wait=1, log_interval=0.2, min_disk=1_000_000)
    with WireCentral(folder, SECRET, settings) as central:
        yield central


@pytest.fixture
def pilot(folder: Path, central: WireCentral) -> Iterator[RealPilot]:
    pilot = RealPilot(folder, central.url, central.ca, SECRET, vm=True, slot_users=f"{USERS[0]}-{USERS[-1]}")
    pilot.folder.chmod(0o711)
    yield pilot
    pilot.end()
    print(pilot.log)


def pull_the_plug(pilot: RealPilot) -> None:
    """Nothing of it runs any more, from one moment to the next."""
    assert pilot.process is not None
    agent = pilot.agent
    for pid in (pilot.pid, agent, *(pid for uid in USERS for pid in processes_of(uid))):
        os.kill(pid, signal.SIGKILL)
    pilot.process.wait()
    wait_for(lambda: not any(processes_of(uid) for uid in USERS), 20, "the payloads to be gone")


def running(pilot: RealPilot, job: int) -> None:
    wait_for(lambda: (pilot.work / f"attempts/{job}.1/job/begun").exists(), 30, f"job {job}", lambda: pilot.log)


def test_a_machine_that_was_rebooted_goes_on(central: WireCentral, pilot: RealPilot, folder: Path) -> None:
    """After a reboot the pilot is the same in its next epoch: what ran is a node fault, what waited in the spool is
    delivered, no secret is asked for again, and jobs go on; who it is was for root alone."""
    machine = Machine(folder, "i-1")
    done = central.submit("sh", "-c", "touch begun; while [ ! -e go ]; do sleep 0.05; done; echo the last words")
    ran = central.submit("sh", "-c", "echo begun; touch begun; sleep 1000")
    machine.start(pilot)
    running(pilot, done)
    running(pilot, ran)
    session = pilot.work / "session"
    about = session.stat()
    assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o600, 0)
    assert not (pilot.folder / "secret").exists()
    central.away = True
    (pilot.work / f"attempts/{done}.1/job/go").touch()
    wait_for(lambda: not (pilot.work / f"attempts/{done}.1").exists(), 20, "the end of a job", lambda: pilot.log)
    pull_the_plug(pilot)
    central.away = False
    after = central.submit("echo", "after")
    machine.start(pilot)
    assert pilot.wait() == ExitCode.DONE
    assert machine.boots == 2
    assert {attempt: report.outcome for attempt, report in central.ended().items()} == {
        (done, 1): Outcome.SUCCESS,
        (ran, 1): Outcome.NODE_FAULT,
        (after, 1): Outcome.SUCCESS,
    }
    assert central.log(attempt_stream(done, 1, "stdout")) == b"the last words\n"
    assert [(request.epoch, request.instance) for request in central.resumes] == [(3, "vm i-1")]
    assert {request.epoch for request in central.heartbeats} == {3, 4}
    assert len(central.enrolments) == 1
    assert [goodbye.reason for goodbye in central.goodbyes] == [PilotReason.IDLE]
    assert not session.exists()


def test_a_copy_of_a_machine_is_nobody(central: WireCentral, pilot: RealPilot, folder: Path) -> None:
    """The same disk on another instance says nothing to the central, runs nothing, and ends with a sentence; the
    machine that it is a copy of goes on."""
    first, second = Machine(folder, "i-1"), Machine(folder, "i-2")
    ran = central.submit("sh", "-c", "echo begun; touch begun; sleep 1000")
    first.start(pilot)
    running(pilot, ran)
    central.until(lambda: central.log(attempt_stream(ran, 1, "stdout")) == b"begun\n")
    pull_the_plug(pilot)
    heard = len(central.heartbeats)
    second.start(pilot)
    assert pilot.wait() == ExitCode.USAGE
    assert "expected a session of this machine since its start (vm i-2), got one of vm i-1" in pilot.log
    assert (len(central.heartbeats), len(central.resumes), len(central.enrolments)) == (heard, 0, 1)
    first.start(pilot)
    assert pilot.wait() == ExitCode.DONE
    assert [request.epoch for request in central.resumes] == [3]
    assert central.ended()[ran, 1].outcome is Outcome.NODE_FAULT
