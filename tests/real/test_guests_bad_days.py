"""What may happen to a machine, to the pilot on it and to the network between, with systemd and cloud-init on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilot.states import JobState, Outcome, PilotReason, PilotState
from pilotage import Client
from tests.real.guest_network import Cable, network
from tests.real.guest_scene import IMAGES, LITTLE
from tests.real.guest_system import Guesthouse, guesthouse
from tests.system import Plan, check_log, process_rows, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IMAGES, reason="what this needs is set up by the lane nspawn"),
]
#: A payload that goes on when a file is there, and prints one line before and one after.
WAITS = {"command": ["sh", "-c", "echo begun; while [ ! -e go ]; do sleep 0.1; done; echo done"], "needs": LITTLE}
#: Of systemd as an init, by its manual: reboot.
REBOOT = signal.SIGRTMIN + 5


@dataclass(frozen=True)
class Scene:
    """Guests that reach their central by a cable."""

    house: Guesthouse
    cable: Cable
    client: Client

    def begun(self) -> tuple[int, str]:
        """A job that runs and waits, and the machine that it is on."""
        [job] = self.client.submit([WAITS]).ids
        wait_for(lambda: self.client.job(job).job.state is JobState.RUNNING, 60, "the job to run", self.house.told)
        wait_for(lambda: self.client.logs(job) == b"begun\n", 30, "its first words")
        [machine] = self.house.machines()
        return job, machine.id

    def go_on(self, id: str, job: int, attempt: int = 1) -> None:
        """Let a payload end. Its folder is where its pilot works, as the machine itself sees it."""
        root = Path(f"/proc/{self.init(id)}/root")
        [folder] = (root / "var/lib/pilotage").glob(f"**/attempts/{job}.{attempt}/job")
        (folder / "go").touch()

    def init(self, id: str) -> int:
        """The first process of a machine that is up."""
        [init] = [pid for pid in self.of(id, "systemd") if _is_first(pid)]
        return init

    def of(self, id: str, word: str) -> list[int]:
        """The processes of a machine with a word in their command lines, by the numbers that they have here."""
        group = f"/{id}".encode()
        found = []
        for row in process_rows():
            try:
                ours = group in Path(f"/proc/{row.pid}/cgroup").read_bytes()
            except OSError:
                continue
            if ours and any(word in each for each in row.words):
                found.append(row.pid)
        return found


@contextmanager
def scene_of(folder: Path, lease: str) -> Iterator[Scene]:
    plan = Plan(idle="60 s", lease=lease, silent_after="10 s")
    with (
        network() as name,
        guesthouse(folder, cloud=f'networks = ["{name}"]', plan=plan) as house,
        house.system.client() as client,
    ):
        cable = Cable(name, house.system.port)
        try:
            yield Scene(house, cable, client)
        finally:
            cable.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """With leases that outlast what happens."""
    with scene_of(tmp_path, "5 min") as scene:
        yield scene


@pytest.fixture
def brief(tmp_path: Path) -> Iterator[Scene]:
    """With leases that do not."""
    with scene_of(tmp_path, "20 s") as scene:
        yield scene


def test_a_machine_that_never_calls_back(tmp_path: Path) -> None:
    """One that boots and cannot reach the central is given up at its deadline: its console is kept, it is deleted, and
    what follows waits for longer."""
    plan = Plan(idle="60 s")
    with (
        network() as name,
        guesthouse(tmp_path, more='secret_ttl = "40 s"', cloud=f'networks = ["{name}"]', plan=plan) as house,
        house.system.client() as client,
    ):
        [job] = client.submit([WAITS]).ids
        wait_for(lambda: house.machines(), 30, "a machine", house.system.log)
        first = house.machines()[0].stamp
        wait_for(lambda: client.pilot(first).pilot.state is PilotState.FAILED, 90, "it to be given up", house.told)
        assert client.pilot(first).pilot.reason is PilotReason.NEVER_CALLED
        client.kill([job])
        wait_for(lambda: first not in {one.stamp for one in house.machines()}, 30, "it to be deleted", house.told)
        kept = client.pilot_logs(first, "ce")
        assert b"cloud-init" in kept or b"systemd" in kept, kept[-2000:]


def test_a_pilot_that_is_killed(scene: Scene) -> None:
    """kill -9 of the monitor: systemd starts it again, the job that ran waits again uncharged, and runs there."""
    job, id = scene.begun()
    [monitor] = [pid for pid in scene.of(id, "pilot.json") if "run" in _words(pid)]
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: scene.client.attempts(job)[0].outcome, 60, "the job to wait again", scene.house.told)
    wait_for(lambda: scene.client.job(job).job.state is JobState.RUNNING, 60, "it to run again", scene.house.told)
    first, second = scene.client.attempts(job)
    assert (first.outcome, first.pilot) == (Outcome.NODE_FAULT, second.pilot)
    assert scene.client.job(job).retries_used == 0
    wait_for(lambda: scene.client.pilot(second.pilot).pilot.epoch == 2, 60, "its pilot to be back", scene.house.told)
    scene.go_on(id, job, 2)
    scene.client.wait([job], timeout=120)
    check_log(scene.client, job, b"begun\ndone\n")


def test_a_reboot_with_a_full_spool(scene: Scene) -> None:
    """What a job had to say while the network was cut outlives a reboot of its machine, and arrives: the job has ended
    once, and as it did."""
    job, id = scene.begun()
    scene.cable.cut()
    scene.go_on(id, job)
    wait_for(lambda: not scene.of(id, "echo begun"), 30, "the payload to end", scene.house.told)
    init = scene.init(id)
    os.kill(init, REBOOT)
    wait_for(lambda: init not in scene.of(id, "systemd"), 60, "it to go down", scene.house.told)
    scene.cable.heal()
    scene.client.wait([job], timeout=240)
    [attempt] = scene.client.attempts(job)
    assert attempt.outcome is Outcome.SUCCESS
    check_log(scene.client, job, b"begun\ndone\n")
    wait_for(lambda: scene.client.pilot(attempt.pilot).pilot.epoch == 2, 60, "its pilot to be back", scene.house.told)
    assert [machine.id for machine in scene.house.machines()] == [id]


def test_a_network_that_is_cut_for_longer_than_the_lease(brief: Scene) -> None:
    """The job waits again when the lease is over, and what the first attempt says later is not heard: it ends once."""
    job, _ = brief.begun()
    brief.cable.cut()
    wait_for(lambda: brief.client.attempts(job)[0].outcome, 60, "the lease to be over", brief.house.told)
    assert brief.client.attempts(job)[0].outcome is Outcome.LOST
    brief.cable.heal()
    wait_for(lambda: brief.client.job(job).job.state is JobState.RUNNING, 120, "it to run again", brief.house.told)
    second = brief.client.attempts(job)[-1]
    on = next(machine.id for machine in brief.house.machines() if machine.stamp == second.pilot)
    brief.go_on(on, job, second.attempt)
    brief.client.wait([job], timeout=120)
    assert [attempt.outcome for attempt in brief.client.attempts(job)] == [Outcome.LOST, Outcome.SUCCESS]
    check_log(brief.client, job, b"begun\ndone\n")


def _words(pid: int) -> list[str]:
    return next((row.words for row in process_rows() if row.pid == pid), [""])


def _is_first(pid: int) -> bool:
    """Whether it is the first process of its namespace, and of the innermost: beside this host's numbers and those of
    the namespace around systemd-nspawn it has one there."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    numbers = next(line for line in lines if line.startswith("NSpid:")).split()[1:]
    return len(numbers) == 3 and numbers[-1] == "1"
