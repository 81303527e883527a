"""A pilot describes the computer that it is on, not the door by which it came in."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.captured import CASES, load

#: What the hardware and the system on it decide alone.
OF_THE_MACHINE = ("arch", "microarch", "glibc", "os", "kernel", "cpu", "cores", "memory")


def described(case: Path) -> dict[str, object]:
    facts = {fact.name: fact.value for fact in load(case).facts()}
    return {name: facts.get(name) for name in OF_THE_MACHINE}


def test_a_virtual_machine_and_a_batch_job_on_the_same_hardware(tmp_path: Path) -> None:
    """With a cloud's firmware, or below a batch system that gives all of it, the same machine has the same facts."""
    bare = CASES / "bare-machine"
    virtual, batch = tmp_path / "virtual", tmp_path / "batch"
    shutil.copytree(bare, virtual)
    shutil.copytree(CASES / "cloud-openstack" / "files" / "sys" / "class", virtual / "files" / "sys" / "class")
    shutil.copyfile(CASES / "cloud-openstack" / "answers.json", virtual / "answers.json")
    shutil.copytree(bare, batch)
    (batch / "env").write_text(f"NSLOTS={described(bare)['cores']}\nJOB_ID=7\nSGE_CELL=default\nQUEUE=all.q\n")
    cloud = {fact.name: fact.value for fact in load(virtual).facts()}
    assert cloud["cloud"] == "openstack"
    assert {fact.name: fact.value for fact in load(batch).facts()}["batch"] != ""
    assert described(virtual) == described(batch) == described(bare)
    assert described(bare)["arch"]
