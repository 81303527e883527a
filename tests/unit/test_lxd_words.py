"""What LXD says, as a provider of machines understands it."""

from __future__ import annotations

import pytest

from central.clouds.port import Room, State
from central.clouds.pycloudlib import errors, machines, sizes
from central.elements.port import Trouble

NEVER = "1970-01-01T00:00:00Z"
NOW = "2026-11-27T03:46:16.878088592Z"


@pytest.mark.parametrize(
    ("status", "used", "state"),
    [
        ("Running", NOW, State.RUNNING),
        ("Stopped", NOW, State.STOPPED),
        ("Stopped", NEVER, State.BUILDING),
        ("Stopped", "0001-01-01T00:00:00Z", State.BUILDING),
        ("Frozen", NOW, State.UNKNOWN),
        ("Error", NOW, State.UNKNOWN),
    ],
)
def test_where_a_machine_stands(status: str, used: str, state: State) -> None:
    """A machine that has never run is being built, and of words that are not known nothing follows."""
    marks = {machines.CENTRAL: "c0ffee01", machines.STAMP: "ab", machines.QUEUE: "large"}
    address = {"lo": {"addresses": [{"scope": "local", "address": "127.0.0.1"}]}}
    address["eth0"] = {"addresses": [{"scope": "global", "address": "10.88.0.7"}]}
    told = {"name": "m", "status": status, "last_used_at": used, "created_at": NOW, "config": marks}
    found = machines.machine({**told, "state": {"network": address}})
    assert (found.state, found.stamp, found.queue, found.address) == (state, "ab", "large", "10.88.0.7")
    assert found.created == pytest.approx(1795751176.878, abs=0.01)
    assert machines.is_of(told, "c0ffee01")
    assert not machines.is_of(told, "c0ffee02")


@pytest.mark.parametrize(("limit", "cores"), [("4", 4), ("0-3", 4), ("0,2-3", 3), ("", 0), ("0-3,x", 0), ("²", 0)])
def test_cores(limit: str, cores: int) -> None:
    """A number of cores, or a set of processors."""
    assert sizes.cores_of(limit) == cores


def test_flavors_and_quota() -> None:
    """A profile with both limits is a flavor; the project's limits are the quota, and all machines are counted."""
    small = {"limits.cpu": "2", "limits.memory": "512MiB"}
    profiles = [{"name": "small", "config": small}, {"name": "default", "config": {"limits.memory": "50%"}}]
    (flavor,) = sizes.flavors(profiles)
    assert (flavor.name, flavor.cores, flavor.memory) == ("small", 2, 512 * 1024**2)
    there = [{"expanded_config": small}, {"expanded_config": {}}]
    quota = sizes.quota({"config": {"limits.instances": "5", "limits.cpu": "4"}}, there)
    assert (quota.machines, quota.cores) == (Room(2, 5), Room(2, 4))
    assert quota.machines_of(flavor) == 1
    assert sizes.quota({}, there).machines_of(flavor) is None
    assert sizes.current("default,YES\nmine (current),YES\n") == "mine"


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        ("Error: Image not found", Trouble.REFUSED),
        ('Error: Requested profile "x" doesn\'t exist', Trouble.REFUSED),
        ('Error: Reached maximum number of instances in project "default"', Trouble.FULL),
        ("Error: write /x: no space left on device", Trouble.FULL),
        ('Error: Get "http://unix.socket/1.0": dial unix /x: connect: no such file', Trouble.UNREACHABLE),
        ('Error: Get "http://unix.socket/1.0": dial unix /x: connect: permission denied', Trouble.CREDENTIAL),
    ],
)
def test_errors(words: str, trouble: Trouble) -> None:
    """LXD's words say whether trying again makes sense, and are in the message."""
    found = errors.answered(RuntimeError(f"Failure (rc=1): {words}"))
    assert found.trouble is trouble
    assert words.removeprefix("Error: ") in str(found)
