"""Notices reach a real monitor: a fake metadata service, features in a folder, and what the pilot does then."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.errors import ExitCode
from pilot.protocol import Settings
from pilot.states import Outcome, PilotReason, PilotState
from tests.integration.metadata_service import MetadataService, utc
from tests.integration.test_monitor import SECRET, Pilot, wait_for
from tests.integration.wire_central import WireCentral

EC2 = "/latest/meta-data/spot/instance-action"
GCE = "/computeMetadata/v1/instance/preempted"
AZURE = "/metadata/scheduledevents"


@pytest.fixture
def service() -> Iterator[MetadataService]:
    with MetadataService() as service:
        service.answers[GCE] = (200, b"FALSE")
        service.answers[AZURE] = (200, b'{"DocumentIncarnation": 1, "Events": []}')
        service.answers["/metadata/instance/compute/name"] = (200, b"this-vm")
        yield service


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(idle=0, lease=600, beat=0.5, match_wait=1, log_interval=0.2, margin=2)
    with WireCentral(tmp_path, SECRET, settings) as central:
        yield central


def running(central: WireCentral, pilot: Pilot) -> int:
    """A job whose payload runs, and which would run for long."""
    job = central.submit("sleep", "1000")
    pilot.begin()
    central.until(lambda: central.leases.get((job, 1)) == "running")
    return job


def notice(cloud: str) -> tuple[str, object]:
    """What the service of a cloud says when it takes the machine away, and under which path."""
    if cloud == "ec2":
        return EC2, {"action": "terminate", "time": utc("%Y-%m-%dT%H:%M:%SZ", 120)}
    if cloud == "gce":
        return GCE, True
    when = utc("%a, %d %b %Y %H:%M:%S GMT", 30)
    event = {"EventId": "e1", "EventType": "Preempt", "Resources": ["this-vm"], "NotBefore": when}
    return AZURE, {"DocumentIncarnation": 2, "Events": [event]}


@pytest.mark.parametrize("cloud", ["ec2", "gce", "azure"])
def test_a_cloud_takes_the_machine(central: WireCentral, tmp_path: Path, service: MetadataService, cloud: str) -> None:
    """A notice of the cloud ends the pilot in good order: the job is preempted, and the message says who took it."""
    pilot = Pilot(tmp_path, central, cloud=cloud, metadata_url=service.url)
    try:
        job = running(central, pilot)
        wait_for(lambda: service.asked)
        path, said = notice(cloud)
        service.answers[path] = (200, json.dumps(said).encode().upper() if said is True else json.dumps(said).encode())
        assert pilot.wait() == ExitCode.PREEMPTED
    finally:
        pilot.end()
    assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
    (goodbye,) = central.goodbyes
    assert goodbye.reason is PilotReason.SIGNAL
    assert cloud in goodbye.message.lower(), goodbye.message
    assert central.heartbeats[-1].state is PilotState.DRAINING


def test_no_cloud_is_asked_where_there_is_none(central: WireCentral, tmp_path: Path, service: MetadataService) -> None:
    """A pilot that is told that there is no cloud asks nobody, and runs its job to the end."""
    pilot = Pilot(tmp_path, central, cloud="none", metadata_url=service.url)
    job = central.submit("true")
    try:
        assert pilot.begin().wait() == ExitCode.DONE
    finally:
        pilot.end()
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS
    assert service.asked == []


def test_a_metadata_service_that_never_answers(central: WireCentral, tmp_path: Path) -> None:
    """An address that swallows what is sent to it keeps nobody from working, and is told in the pilot's log."""
    pilot = Pilot(tmp_path, central, cloud="ec2", metadata_url="http://192.0.2.1")
    job = central.submit("sh", "-c", "sleep 3")
    try:
        assert pilot.begin().wait() == ExitCode.DONE
    finally:
        pilot.end()
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS
    assert "no word about the machine's end from EC2" in pilot.log


def test_the_site_says_when_the_machine_ends(
    central: WireCentral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shutdown time among the machine's features: the agent hears how long it has, and is stopped before then."""
    features = tmp_path / "machinefeatures"
    features.mkdir()
    monkeypatch.setenv("MACHINEFEATURES", str(features))
    pilot = Pilot(tmp_path, central)
    try:
        job = running(central, pilot)
        end = time.time() + 12
        (features / "shutdowntime").write_text(f"{end:.0f}\n")
        wait_for(lambda: "seconds left:" in pilot.log)
        assert pilot.wait() == ExitCode.DONE
        assert time.time() < end + 10
    finally:
        pilot.end()
    assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
    assert [goodbye.reason for goodbye in central.goodbyes] == [PilotReason.NO_TIME]


def test_an_end_of_life(tmp_path: Path) -> None:
    """A pilot whose central gave it so many seconds to live is over by then, what ran was preempted."""
    settings = Settings(idle=0, lease=600, beat=0.5, match_wait=1, log_interval=0.2, margin=2, end_of_life=5)
    with WireCentral(tmp_path, SECRET, settings) as central:
        pilot = Pilot(tmp_path, central)
        try:
            job = running(central, pilot)
            assert pilot.wait() == ExitCode.DONE
        finally:
            pilot.end()
        assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
        assert [goodbye.reason for goodbye in central.goodbyes] == [PilotReason.NO_TIME]


def test_a_static_machine_at_its_end(tmp_path: Path) -> None:
    """A machine that stays idle or not ends when its user-data said, by the central's clock, and what ran until then
    was preempted."""
    settings = Settings(idle=0, lease=600, beat=0.5, match_wait=1, log_interval=0.2, margin=2)
    with WireCentral(tmp_path, SECRET, settings) as central:
        central.clock = 1000.0
        pilot = Pilot(tmp_path, central, halting="static", vm=True, ends=int(time.time() + 1000) + 8)
        try:
            job = running(central, pilot)
            assert pilot.wait() == ExitCode.DONE
        finally:
            pilot.end()
        assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
        assert [goodbye.reason for goodbye in central.goodbyes] == [PilotReason.NO_TIME]


def test_a_batch_system_that_gives_time(tmp_path: Path) -> None:
    """Where the queue says how long its batch system waits after a signal, that time is told to the payloads."""
    settings = Settings(idle=0, lease=600, beat=0.5, match_wait=1, log_interval=0.2, notice=300)
    with WireCentral(tmp_path, SECRET, settings) as central:
        pilot = Pilot(tmp_path, central)
        try:
            job = running(central, pilot)
            os.kill(pilot.pid, signal.SIGTERM)
            assert pilot.wait() == ExitCode.PREEMPTED
            assert "235 s for payloads, 60 s for files" in pilot.log
        finally:
            pilot.end()
        assert central.ended()[job, 1].outcome is Outcome.PREEMPTED
