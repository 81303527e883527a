"""Payloads and the metadata service of a cloud: a real service at its real address, in a network of the test's own."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.errors import ExitCode
from pilot.imds import ahead, cut, trial
from pilot.imds.guard import Guard, Tried
from pilot.imds.payload import as_payload
from pilot.notices.places import fetch
from pilot.payloads.slot_users import users_of
from pilot.protocol import Fact, Settings, attempt_stream
from pilot.states import Outcome, PilotReason
from tests.integration import cloud_network
from tests.integration.cloud_network import ADDRESS, SIX, machine
from tests.integration.metadata_service import utc
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral
from tests.system import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(cloud_network.lacks()), reason=cloud_network.lacks()),
]

USERS = range(29_100, 29_104)
SPAN = f"{USERS[0]}-{USERS[-1]}"
SECRET = "one-time-secret-of-the-test"
#: A payload that says what becomes of a connection.
TRIES = "import socket; print(socket.socket().connect_ex(('169.254.169.254', 80)))"
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def guard(problem: str = "") -> tuple[Fact, ...]:
    return Guard(users_of(SPAN), problem, as_payload).facts()


@pytest.mark.parametrize(
    ("only", "way"),
    [
        ("/", "a plain request"),
        ("/latest/api/token", "a token of EC2"),
        ("/computeMetadata/", "the header of GCE"),
        ("/metadata/instance", "the header of Azure"),
        ("/openstack/latest", "a path of OpenStack"),
    ],
)
def test_each_way_in_is_found_and_then_closed(only: str, way: str) -> None:
    """Whichever way alone is answered, the guard finds it as the payloads' user; after the cut it finds none, and root
    still gets its answers."""
    with machine() as service:
        service.only = only
        before = guard()
        assert cut.cut_off(USERS, cut.run_as_root) == ""
        assert cut.cut_off(USERS, cut.run_as_root) == "", "a second time is none too many"
        after = guard()
        root = fetch("PUT" if "token" in only else "GET", f"http://{ADDRESS}{only}", {}).status
    assert [(fact.name, fact.value) for fact in before] == [("imds_exposed", True), ("tag:imds_exposed", True)]
    assert f"the user {USERS[0]} reaches the metadata service by {way} at {ADDRESS}" in before[0].source
    assert [fact.value for fact in after] == [False, False]
    assert root


def test_the_way_by_the_newer_protocol_is_closed_too() -> None:
    """Where the service is on IPv6 it is found and cut off likewise."""
    with machine(SIX):
        before = guard()
        assert cut.cut_off(USERS, cut.run_as_root) == ""
        after = guard()
    assert (before[0].value, after[0].value) == (True, False)
    assert f"a plain request at {SIX}" in before[0].source


def test_only_payloads_are_cut_off() -> None:
    """Who is none of the payloads' users reaches it as before; names are let through for all."""
    with machine() as service:
        assert cut.cut_off(USERS[:2], cut.run_as_root) == ""
        free = Guard(users_of(f"{USERS[2]}-{USERS[3]}"), "", as_payload).facts()
        asked = len(service.asked)
        assert free[0].value is True
        assert guard()[0].value is False
        assert len(service.asked) == asked


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place that other users can get to."""
    place = Path(tempfile.mkdtemp(prefix="pilotage-metadata-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)


def settings(idle: int = 2) -> Settings:
    return Settings(idle=idle, lease=600, beat=0.5, match_wait=1, log_interval=0.2, min_disk=1_000_000)


def told(central: WireCentral) -> dict[str, object]:
    return {fact.name: fact.value for beat in central.heartbeats for fact in beat.facts}


def test_a_pilot_keeps_its_payloads_from_it_and_hears_its_notices(folder: Path) -> None:
    """On a machine of a cloud the payload gets no connection, the central reads that this was tried, and the pilot
    itself hears from the same service that the machine is taken."""
    with machine() as service, WireCentral(folder, SECRET, settings(60)) as central:
        found = {"cloud": "ec2", "metadata": "guard", "vm": True, "slot_users": SPAN}
        pilot = RealPilot(folder, central.url, central.ca, SECRET, **found)
        pilot.folder.chmod(0o711)
        try:
            tries = central.submit(PYTHON, "-c", TRIES)
            runs = central.submit("sh", "-c", "sleep 1000")
            pilot.start()
            central.until(lambda: (tries, 1) in central.ended(), what="the payload")
            central.until(lambda: "imds_exposed" in told(central), what="what the guard says")
            central.until(lambda: "load_1" in told(central), what="what the machine does")
            wait_for(lambda: (pilot.work / "attempts" / f"{runs}.1").is_dir(), 30, "a second payload")
            action = {"action": "terminate", "time": utc("%Y-%m-%dT%H:%M:%SZ", 120)}
            service.answers["/latest/meta-data/spot/instance-action"] = (200, json.dumps(action).encode())
            assert pilot.wait() == ExitCode.PREEMPTED
        finally:
            pilot.end()
            print(pilot.log)
        assert central.log(attempt_stream(tries, 1, "stdout")) == b"13\n"  # EACCES
        assert told(central)["imds_exposed"] is False
        assert told(central)["tag:imds_exposed"] is False
        assert ahead.awaited(pilot.work) == Tried(False, imds_source(central)), (
            "the monitor has tried it, and nobody else"
        )
        assert isinstance(told(central)["disk_free"], int)
        assert isinstance(told(central)["uptime"], int)
        assert central.ended()[runs, 1].outcome is Outcome.PREEMPTED
        assert [(one.reason, one.message[:30]) for one in central.goodbyes] == [
            (PilotReason.SIGNAL, "EC2 will terminate this instan")
        ]


def imds_source(central: WireCentral) -> str:
    (source,) = {fact.source for beat in central.heartbeats for fact in beat.facts if fact.name == "imds_exposed"}
    return source


def test_one_that_must_not_be_reached_is_no_place_for_jobs(folder: Path) -> None:
    """Where payloads run as the pilot nothing can be cut: with `refuse` it ends as unfit and says by which way it was
    reached, with `guard` it says so and runs jobs."""
    with machine(), WireCentral(folder, SECRET, settings()) as central:
        job = central.submit("true")
        pilot = RealPilot(folder, central.url, central.ca, SECRET, metadata="refuse", vm=True, cloud="none")
        try:
            assert pilot.start().wait() == ExitCode.UNFIT
        finally:
            pilot.end()
            print(pilot.log)
        (goodbye,) = central.goodbyes
        assert goodbye.reason is PilotReason.UNFIT
        assert "the pilot's user reaches the metadata service by a plain request" in goodbye.message
        assert not central.ended()
        shutil.rmtree(pilot.folder)
        central.key = b""
        other = RealPilot(folder, central.url, central.ca, SECRET, metadata="guard", vm=True, cloud="none")
        try:
            assert other.start().wait() == ExitCode.DONE
        finally:
            other.end()
        assert central.ended()[job, 1].outcome is Outcome.SUCCESS
        assert told(central)["imds_exposed"] is True


def test_where_there_is_none_nothing_is_waited_for() -> None:
    """A machine without any such service is soon done with the guard, however long its resolver takes, and nothing is
    exposed at any address, also of its interfaces."""
    with cloud_network.network() as (vm, _), cloud_network.inside(vm):
        began = time.monotonic()
        found = guard()
        took = time.monotonic() - began
    assert found[0].value is False
    assert f"at {len(trial.GIVEN) + 1} addresses" in found[0].source
    assert took < 10
