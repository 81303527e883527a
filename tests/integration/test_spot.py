"""A spot machine is taken away: a real central, a real pilot, and a metadata service that says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.errors import ExitCode
from pilot.states import JobState, Outcome
from tests.integration.metadata_service import MetadataService, utc
from tests.integration.running_central import ROOT, Person, RunningCentral, until
from tests.integration.test_preemption import COUNTING

NOTICE = "/latest/meta-data/spot/instance-action"


class SpotPilot:
    """A pilot from the checkout on a machine that is EC2's, as far as it can tell."""

    def __init__(self, central: RunningCentral, folder: Path, service: MetadataService) -> None:
        stamp, secret = central.plan()
        self.stamp = stamp
        self.work = folder / stamp
        self.work.mkdir()
        (self.work / "secret").write_text(secret)
        (self.work / "secret").chmod(0o600)
        values = {
            "version": 1,
            "stamp": stamp,
            "central": [central.url],
            "ca": central.ca,
            "site": "here",
            "queue": "local",
            "work": str(self.work),
            "cores": 1,
            "wall_time": "unlimited",
            "communities": ["physics"],
            "cloud": "ec2",
            "metadata": service.url,
        }
        (self.work / "pilot.json").write_text(json.dumps(values))
        with (self.work / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pilot", "run", "--config", str(self.work / "pilot.json")],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def wait(self) -> int:
        return self.process.wait(60)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        print((self.work / "pilot.log").read_text(), (self.work / "stderr").read_text())


@pytest.fixture
def service() -> Iterator[MetadataService]:
    with MetadataService() as service:
        yield service


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


def test_a_spot_machine_is_taken(
    central: RunningCentral, ann: Person, tmp_path: Path, service: MetadataService
) -> None:
    """The cloud says that it takes the machine: the payload saves its state, and goes on elsewhere, uncharged."""
    job = ann.submit_one(command=["python3", "-c", COUNTING], checkpoint=["*.ckpt"], outputs=["result.txt"])
    taken = SpotPilot(central, tmp_path, service)
    try:
        until(lambda: any(taken.work.glob(f"attempts/{job}.1/job/count")), "the payload")
        action = {"action": "terminate", "time": utc("%Y-%m-%dT%H:%M:%SZ", 120)}
        service.answers[NOTICE] = (200, json.dumps(action).encode())
        assert taken.wait() == ExitCode.PREEMPTED
    finally:
        taken.end()
    (first,) = ann.attempts(job)
    assert first.outcome is Outcome.PREEMPTED
    assert first.message.startswith("EC2 will terminate this instance at ")
    assert [file.name for file in first.checkpoint] == ["state.ckpt"]
    assert ann.job(job).state is JobState.WAITING
    del service.answers[NOTICE]
    other = SpotPilot(central, tmp_path, service)
    try:
        until(lambda: ann.job(job).state is JobState.DONE, "the job to be done elsewhere")
    finally:
        other.end()
    assert [one.outcome for one in ann.attempts(job)] == [Outcome.PREEMPTED, Outcome.SUCCESS]
    printed = ann.get(f"/v1/jobs/{job}/logs/stdout?attempt=2").text
    assert printed.startswith("begins at ")
    assert not printed.startswith("begins at 0\n")
