"""A virtual machine that somebody starts by hand: its user-data, laid out as cloud-init does, makes it a pilot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pilot.states import JobState, PilotState
from pilotage import Client
from tests.booting import boot, lay_out
from tests.integration.test_unsent import QUEUE, of_queue
from tests.system import TOP, System, wait_for

pytestmark = pytest.mark.integration


def pilotage(system: System, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-m", "pilotage", *words, "--folder", str(system.folder)]
    return subprocess.run(argv, cwd=TOP, capture_output=True, timeout=120, check=check)


def test_a_machine_becomes_a_pilot(system: System, client: Client, tmp_path: Path) -> None:
    """The stub fetches the pilot from the central and enrols with the machine's own token, the machine runs a job and
    is in the list of machines, and a second machine with the same user-data is refused."""
    client.add_queue(QUEUE)
    made = pilotage(system, "user-data", "--cloud", "openstack", "--queue", "vacuum", "--life", "2d")
    assert b"good for one machine" in made.stderr
    first, second = system.folder / "pilots" / "first", system.folder / "pilots" / "second"
    for root in (first, second):
        lay_out(made.stdout, root)
    [job] = client.submit({"command": ["echo", "from a machine"], "needs": {"tags": "vacuum"}}).ids
    process = boot(first, tmp_path / "said")
    client.wait([job], timeout=180)
    assert client.job(job).job.state is JobState.DONE
    assert client.logs(job) == b"from a machine\n"
    assert process.wait(180) == 0, (tmp_path / "said").read_text()
    wait_for(lambda: of_queue(client, [PilotState.DONE]), 30, "the pilot to be done")
    (vm,) = client.vms()
    assert vm.machine
    assert vm.machine.uptime
    assert client.pilot(vm.stamp).loads
    assert vm.stamp[:8].encode() in pilotage(system, "vms", "--all").stdout
    assert b"uptime" in pilotage(system, "vm", vm.stamp[:8]).stdout
    assert not (first / "run/pilotage/secret").exists()
    assert boot(second, tmp_path / "other").wait(180) != 0
    assert len(of_queue(client)) == 1


def test_what_is_printed_is_checked_without_a_central(system: System, client: Client, tmp_path: Path) -> None:
    """--check finds nothing wrong with what was printed, and what somebody spoiled; --json tells it to programs."""
    client.add_queue(QUEUE)
    made = pilotage(system, "user-data", "--cloud", "ec2", "--queue", "vacuum")
    (tmp_path / "user-data").write_bytes(made.stdout)
    good = pilotage(system, "user-data", "--cloud", "ec2", "--check", str(tmp_path / "user-data"))
    assert b"nothing speaks against it" in good.stdout
    (tmp_path / "user-data").write_text("#cloud-config\npackage_upgrade: true\n")
    bad = pilotage(system, "user-data", "--cloud", "ec2", "--check", str(tmp_path / "user-data"), "--json", check=False)
    assert bad.returncode == 1
    [problem] = json.loads(bad.stdout)["problems"]
    assert "package_upgrade: expected false" in problem


def test_of_which_queue(system: System) -> None:
    """Without a queue, or with one that has a director, nothing is made, and the sentence says what to do."""
    assert b"say which --queue" in pilotage(system, "user-data", "--cloud", "ec2", check=False).stderr
    asked = pilotage(system, "user-data", "--cloud", "ec2", "--queue", "local", check=False)
    assert asked.returncode == 1
    assert b"only an external one has none" in asked.stderr
