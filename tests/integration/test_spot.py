"""A spot machine is taken away: a real central, a real pilot, and a metadata service that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.errors import ExitCode
from pilot.states import JobState, Outcome
from tests.integration.metadata_service import MetadataService, utc
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.test_preemption import COUNTING

NOTICE = "/latest/meta-data/spot/instance-action"


def spot_pilot(central: RunningCentral, folder: Path, service: MetadataService) -> RealPilot:
    """A pilot from the checkout on a machine that is EC2's, as far as it can tell."""
    stamp, secret = central.plan()
    found = {"cloud": "ec2", "metadata_url": service.url}
    pilot = RealPilot(folder, central.url, central.ca, secret, stamp=stamp, cores=1, communities=["physics"], **found)
    return pilot.start()


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
    taken = spot_pilot(central, tmp_path, service)
    try:
        until(lambda: any(taken.work.glob(f"attempts/{job}.1/job/count")), "the payload")
        action = {"action": "terminate", "time": utc("%Y-%m-%dT%H:%M:%SZ", 120)}
        service.answers[NOTICE] = (200, json.dumps(action).encode())
        assert taken.wait() == ExitCode.PREEMPTED
    finally:
        taken.end()
        print(taken.log)
    (first,) = ann.attempts(job)
    assert first.outcome is Outcome.PREEMPTED
    assert first.message.startswith("EC2 will terminate this instance at ")
    assert [file.name for file in first.checkpoint] == ["state.ckpt"]
    assert ann.job(job).state is JobState.WAITING
    del service.answers[NOTICE]
    other = spot_pilot(central, tmp_path, service)
    try:
        until(lambda: ann.job(job).state is JobState.DONE, "the job to be done elsewhere")
    finally:
        other.end()
        print(other.log)
    assert [one.outcome for one in ann.attempts(job)] == [Outcome.PREEMPTED, Outcome.SUCCESS]
    printed = ann.get(f"/v1/jobs/{job}/logs/stdout?attempt=2").text
    assert printed.startswith("begins at ")
    assert not printed.startswith("begins at 0\n")
