"""`pilotage vms` and `vm`: machines as people see them, and what they are called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pilot.errors import PilotageError
from pilot.places import CanaryView
from pilot.queues import QueueView
from pilot.states import LIVE_PILOT, PilotState
from pilot.views import MachineLoad, MachineView, PilotDetail, PilotView
from pilotage.rendering_vms import spread
from tests.unit.test_cli import FakeClient, run

STAMP, OTHER = "3f9a12bc" * 4, "3f9a77aa" * 4
MACHINE = MachineView("m1.large", "openstack", "i-17", "nova-2", 1.5, 40 * 10**9, 7200)
VM = PilotView(
    STAMP,
    PilotState.RUNNING,
    "cloud-a",
    "large",
    ("atlas",),
    created=0.0,
    reference="uuid-1",
    cores=8,
    running=3,
    machine=MACHINE,
)
BARE = replace(
    VM, stamp=OTHER, state=PilotState.SUBMITTED, reference="uuid-2", running=0, machine=MachineView("m1.large")
)


def test_machines_are_a_table() -> None:
    """Each with what its cloud calls it, its flavor, its load, jobs, disk and time since its boot; one that has not
    called yet has what is known of it; of one that has ended the last load is no news."""
    over = replace(VM, state=PilotState.DONE)
    client = FakeClient(vms=(VM, BARE, over))
    heading, first, second, third = run(client, "vms", "--queue", "large").stdout.splitlines()
    columns = ["VM", "NAME", "QUEUE", "FLAVOR", "STATE", "LOAD", "JOBS", "DISK FREE", "UPTIME", "CLOUD", "NOTE"]
    assert " ".join(heading.split()) == " ".join(columns)
    words = ("3f9a12bc uuid-1 large m1.large", "openstack nova-2")
    assert " ".join(first.split()) == f"{words[0]} running 1.50 3 40.0 GB 2h {words[1]}"
    assert " ".join(second.split()) == "3f9a77aa uuid-2 large m1.large submitted"
    assert " ".join(third.split()) == f"{words[0]} done {words[1]}"
    assert client.asked[0][1] == (tuple(LIVE_PILOT), "large")
    run(client, "vms", "--all")
    assert client.asked[1][1] == ((), None)


def test_no_machine_is_told() -> None:
    """With what to do to see those that have ended, or which queues there are."""
    queues = (QueueView("large", "cloud-a", "openstack", 5, {}),)
    assert "--all shows" in run(FakeClient(vms=(), queues=queues), "vms").stderr
    assert "no queue big" in run(FakeClient(vms=(), queues=queues), "vms", "--queue", "big").stderr


def test_a_machine_is_shown_with_what_it_has_had_to_do() -> None:
    """The central is asked for the one that is called so."""
    loads = tuple(MachineLoad(60.0 * minute, float(minute), minute, 10**9) for minute in range(9))
    client = FakeClient(vms_called=(VM,), pilot=PilotDetail(VM, loads=loads))
    told = run(client, "vm", "uuid-1").stdout
    assert client.asked[0] == ("vms_called", ("uuid-1",), {})
    assert client.asked[-1] == ("pilot", (STAMP,), {})
    assert "1.50 of 8 cores" in told
    assert told.splitlines()[-1].split()[2:] == ["8.00", "█" * 20, "8", "1.0", "GB"]
    assert "jobs" in told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (CanaryView(STAMP, 30.0, "uuid-1", "running", "ACTIVE"), "at the cloud  running, ACTIVE"),
        (CanaryView(STAMP, 30.0), "at the cloud  its cloud does not list it"),
        (CanaryView(STAMP, 30.0, problem="no answer"), "at the cloud  not known: no answer"),
    ],
)
def test_the_cloud_is_asked_when_somebody_wants_to_know(asked: CanaryView, told: str) -> None:
    """What it says stands beside what the pilot says; without --ask nobody is asked."""
    client = FakeClient(vms_called=(VM,), pilot=PilotDetail(VM), canary=asked)
    assert told in run(client, "vm", "uuid-1", "--ask").stdout
    assert client.asked[-1] == ("canary", ("large", STAMP), {})
    assert "at the cloud" not in run(FakeClient(vms_called=(VM,), pilot=PilotDetail(VM)), "vm", "uuid-1").stdout


def test_a_name_must_say_which_machine() -> None:
    """Names of none and of two are refused; of several of which one lives, that is meant. Whatever has ended is not
    gone through."""
    client = FakeClient(vms_called=(), vms=(VM, BARE))
    with pytest.raises(PilotageError, match="No virtual machine"):
        run(client, "vm", "uuid-9")
    assert client.asked[-1] == ("vms", (LIVE_PILOT,), {})
    with pytest.raises(PilotageError, match="2 virtual machines"):
        run(FakeClient(vms_called=(VM, BARE)), "vm", "3f9a")
    over = replace(BARE, state=PilotState.DONE)
    client = FakeClient(vms_called=(VM, over), pilot=PilotDetail(VM))
    run(client, "vm", "3f9a")
    assert client.asked[-1] == ("pilot", (STAMP,), {})


def test_a_machine_is_found_by_what_it_says_of_itself() -> None:
    """Also where nothing but its own facts has the name that its cloud gave it."""
    client = FakeClient(vms_called=(), vms=(VM, BARE), pilot=PilotDetail(VM))
    run(client, "vm", "i-17")
    assert client.asked[-1] == ("pilot", (STAMP,), {})


@pytest.mark.parametrize("verb", ["drain", "halt"])
def test_machines_are_drained_and_halted(verb: str) -> None:
    """By name, with a reason and a deadline, or all that live of a queue."""
    client = FakeClient(**{"vms_called": (BARE,), "pilots": (VM, BARE), "vms": (VM, BARE), verb: 5})
    run(client, "vm", verb, "uuid-2", "--reason", "new image", "--deadline", "1h")
    assert client.asked[-1] == (verb, (OTHER, "new image"), {"deadline": 3600})
    run(client, "vm", verb, "--queue", "large")
    assert [arguments[0] for name, arguments, _ in client.asked if name == verb] == [OTHER, STAMP, OTHER]
    assert run(client, "vm", verb).exit_code == 2


def test_moments_are_spread_over_a_life() -> None:
    """The first and the last are among them, and there are no more than were asked for."""
    loads = tuple(MachineLoad(float(at), 0.0) for at in range(100))
    assert [one.time for one in spread(loads, 4)] == [0.0, 33.0, 66.0, 99.0]
    assert spread(loads, 200) == list(loads)
