"""Nova's servers as machines, and the other way round: pure.

What is wanted of a server is in its metadata; its name says it once more, for one whose metadata somebody has changed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from central.clouds.port import Intent, Machine, State
from central.configuration.elements import Cloud

CENTRAL, QUEUE, STAMP = "pilotage-central", "pilotage-queue", "pilotage-stamp"
#: The status of a server, as Nova's API reference lists them. What is not here is not known to mean anything.
_STATES = {
    "BUILD": State.BUILDING,
    "REBUILD": State.BUILDING,
    "ACTIVE": State.RUNNING,
    "HARD_REBOOT": State.RUNNING,
    "MIGRATING": State.RUNNING,
    "PASSWORD": State.RUNNING,
    "REBOOT": State.RUNNING,
    "PAUSED": State.STOPPED,
    "SHELVED": State.STOPPED,
    "SHELVED_OFFLOADED": State.STOPPED,
    "SHUTOFF": State.STOPPED,
    "SUSPENDED": State.STOPPED,
    "ERROR": State.FAILED,
    "DELETED": State.DELETING,
    "SOFT_DELETED": State.DELETING,
}
#: What is being done to a server, whatever its status.
_DELETING = ("deleting", "soft-deleting")
#: Characters of a reason.
_WORDS = 300


@dataclass(frozen=True)
class Found:
    """What is named in an intent, by the cloud's ids."""

    flavor: str
    image: str
    networks: tuple[str, ...]


def name(central: str, stamp: str) -> str:
    return f"pilotage-{central}-{stamp}"


def body(intent: Intent, found: Found, cloud: Cloud, central: str) -> dict[str, Any]:
    """What Nova is asked for."""
    server: dict[str, Any] = {
        "name": name(central, intent.stamp),
        "flavorRef": found.flavor,
        "imageRef": found.image,
        "user_data": base64.b64encode(intent.user_data).decode("ascii"),
        "metadata": {**intent.beside, CENTRAL: central, QUEUE: intent.queue, STAMP: intent.stamp},
        "config_drive": cloud.config_drive,
    }
    if found.networks:
        server["networks"] = [{"uuid": network} for network in found.networks]
    if cloud.security_groups:
        server["security_groups"] = [{"name": group} for group in cloud.security_groups]
    if cloud.zone:
        server["availability_zone"] = cloud.zone
    if cloud.key:
        server["key_name"] = cloud.key
    return {"server": server}


def is_partial(server: Mapping[str, Any]) -> bool:
    """Whether Nova knows only that there is such a server: the part of the cloud that it runs in does not answer."""
    return "metadata" not in server


def machine(server: Mapping[str, Any], central: str, flavors: Mapping[str, str]) -> Machine | None:
    """One of ours; None: it is somebody else's. `flavors`: their names by id, for a Nova that tells no names."""
    metadata = server["metadata"]
    stamp = metadata.get(STAMP, "") if metadata.get(CENTRAL) == central else _stamp(server.get("name", ""), central)
    if not stamp:
        return None
    state = _state(server)
    return Machine(
        id=server["id"],
        stamp=stamp,
        queue=metadata.get(QUEUE, ""),
        state=state,
        created=_moment(server.get("created")),
        flavor=_flavor(server.get("flavor") or {}, flavors),
        why=_why(server, state),
        address=_address(server.get("addresses") or {}),
    )


def _stamp(name: str, central: str) -> str:
    found = re.fullmatch(rf"pilotage-{re.escape(central)}-(\S+)", name)
    return found[1] if found else ""


def _state(server: Mapping[str, Any]) -> State:
    if server.get("OS-EXT-STS:task_state") in _DELETING:
        return State.DELETING
    return _STATES.get(server.get("status", ""), State.UNKNOWN)


def _why(server: Mapping[str, Any], state: State) -> str:
    fault = (server.get("fault") or {}).get("message", "")
    words = fault if state is State.FAILED else server.get("OS-EXT-STS:task_state") or ""
    return " ".join(f"{server.get('status', '')}{': ' if words else ''}{words}".split())[:_WORDS]


def _flavor(flavor: Mapping[str, Any], flavors: Mapping[str, str]) -> str:
    told = flavor.get("original_name") or flavors.get(flavor.get("id", ""), "")
    return str(told)


def _address(addresses: Mapping[str, Any]) -> str:
    return next((str(one["addr"]) for each in addresses.values() for one in each), "")


def _moment(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
