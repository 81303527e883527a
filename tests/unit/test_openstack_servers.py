"""Nova's servers as machines: what is ours, and where it stands."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from central.clouds.openstack.servers import Found, body, is_partial, machine
from central.clouds.port import Intent, State
from central.configuration.elements import Cloud

OURS = "c0ffee01"
FOUND = Found("f-1", "i-1", ("n-1", "n-2"))


def server(**told: Any) -> dict[str, Any]:
    """One as Nova shows it from microversion 2.69 on."""
    return {
        "id": "10e79acd-76db-4266-8465-c65e1cb0729e",
        "name": f"pilotage-{OURS}-5402366c",
        "status": "ACTIVE",
        "metadata": {"pilotage-central": OURS, "pilotage-queue": "zed", "pilotage-stamp": "5402366c"},
        "flavor": {"vcpus": 1, "ram": 1024, "original_name": "pilot.small"},
        "created": "2026-11-27T02:56:31Z",
        "addresses": {"pilots": [{"addr": "10.99.0.17", "version": 4}]},
        "OS-EXT-STS:task_state": None,
        **told,
    }


def test_one_of_ours_is_told_whole() -> None:
    """Stamp and queue are in the metadata; flavor, address and the time of its creation are what Nova says."""
    found = machine(server(), OURS, {})
    assert found
    assert (found.stamp, found.queue, found.state) == ("5402366c", "zed", State.RUNNING)
    assert (found.flavor, found.address) == ("pilot.small", "10.99.0.17")
    assert found.created == 1795748191.0


@pytest.mark.parametrize(
    "told",
    [
        {
            "metadata": {"pilotage-central": "deadbeef", "pilotage-stamp": "5402366c"},
            "name": "pilotage-deadbeef-5402366c",
        },
        {"metadata": {}, "name": "somebody-else"},
        {"metadata": {}, "name": f"pilotage-{OURS}-"},
        {"metadata": {"pilotage-central": OURS}, "name": "renamed"},
    ],
)
def test_what_bears_another_mark_is_nobody_of_ours(told: dict[str, Any]) -> None:
    """Servers of others, and those of which nobody can tell the stamp, are none of ours."""
    assert machine(server(**told), OURS, {}) is None


def test_one_whose_metadata_somebody_cleared_is_known_by_its_name() -> None:
    """It is not lost, and so not left to run for ever."""
    found = machine(server(metadata={}), OURS, {})
    assert found
    assert (found.stamp, found.queue) == ("5402366c", "")


@pytest.mark.parametrize(
    ("status", "task", "state"),
    [
        ("BUILD", "scheduling", State.BUILDING),
        ("ACTIVE", None, State.RUNNING),
        ("ACTIVE", "deleting", State.DELETING),
        ("BUILD", "deleting", State.DELETING),
        ("REBOOT", "rebooting", State.RUNNING),
        ("SHUTOFF", None, State.STOPPED),
        ("PAUSED", None, State.STOPPED),
        ("SUSPENDED", None, State.STOPPED),
        ("SHELVED_OFFLOADED", None, State.STOPPED),
        ("ERROR", None, State.FAILED),
        ("ERROR", "deleting", State.DELETING),
        ("SOFT_DELETED", None, State.DELETING),
        ("RESCUE", None, State.UNKNOWN),
        ("SOMETHING_NEW", None, State.UNKNOWN),
    ],
)
def test_where_it_stands(status: str, task: str | None, state: State) -> None:
    """One that is being deleted is that, whatever its status; of a status that is not known nothing follows."""
    found = machine(server(status=status, **{"OS-EXT-STS:task_state": task}), OURS, {})
    assert found
    assert found.state is state


def test_why_it_failed_is_in_the_cloud_s_words() -> None:
    """No hypervisor has room for it: Nova says so in the fault of a server that never was."""
    fault = {"code": 500, "message": "No valid host was found. There are not enough hosts available."}
    found = machine(server(status="ERROR", fault=fault, addresses={}), OURS, {})
    assert found
    assert found.why == "ERROR: No valid host was found. There are not enough hosts available."


def test_a_nova_from_before_names_flavors_by_id() -> None:
    """The names come from its list of flavors; one that is not in it any more has none."""
    for flavors, name in (({"f-1": "small"}, "small"), ({}, "")):
        found = machine(server(flavor={"id": "f-1", "links": []}), OURS, flavors)
        assert found
        assert found.flavor == name


def test_a_server_in_a_cell_that_does_not_answer_is_partial() -> None:
    """Nova then has no more of it than that it is there."""
    assert is_partial({"id": "1", "status": "UNKNOWN", "created": "2026-11-27T02:56:31Z", "tenant_id": "t"})
    assert not is_partial(server())


def test_what_nova_is_asked_for() -> None:
    """All that the queue says, with the mark, and user-data as they are."""
    cloud = Cloud("small", "plain", networks=("a", "b"), security_groups=("sg",), zone="z", key="k")
    intent = Intent("5402366c", "zed", "small", "plain", b"#cloud-config\n{}\n", ("a", "b"))
    asked = body(intent, FOUND, cloud, OURS)["server"]
    assert base64.b64decode(asked.pop("user_data")) == intent.user_data
    assert asked == {
        "name": f"pilotage-{OURS}-5402366c",
        "flavorRef": "f-1",
        "imageRef": "i-1",
        "metadata": {"pilotage-central": OURS, "pilotage-queue": "zed", "pilotage-stamp": "5402366c"},
        "config_drive": True,
        "networks": [{"uuid": "n-1"}, {"uuid": "n-2"}],
        "security_groups": [{"name": "sg"}],
        "availability_zone": "z",
        "key_name": "k",
    }


def test_what_the_queue_does_not_say_is_left_to_nova() -> None:
    """No network, group, zone or key is asked for."""
    intent = Intent("5402366c", "zed", "small", "plain", b"")
    asked = body(intent, Found("f-1", "i-1", ()), Cloud("small", "plain", config_drive=False), OURS)["server"]
    assert not {"networks", "security_groups", "availability_zone", "key_name"} & asked.keys()
    assert asked["config_drive"] is False
