"""What EC2 lists, as machines: pure.

EC2 lists a machine for about an hour after its end. Where we ended it, it is gone. Where it shut itself down, or EC2
took it back, its end is news to whoever counts on it: it is told until it has been deleted like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from central.clouds.port import Machine, State

CENTRAL, QUEUE, STAMP = "pilotage-central", "pilotage-queue", "pilotage-stamp"
#: The reason of an end that somebody asked the API for.
_ASKED = "Client.UserInitiatedShutdown"
_STATES = {
    "pending": State.BUILDING,
    "running": State.RUNNING,
    "shutting-down": State.DELETING,
    "stopping": State.STOPPED,
    "stopped": State.STOPPED,
}
#: Characters of a reason.
_WORDS = 300


def machine(instance: Mapping[str, Any], deleted: Collection[str] = ()) -> Machine | None:
    """One; None: it is gone. `deleted`: ids whose deletion was asked for."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in instance.get("Tags", ())}
    name = instance.get("State", {}).get("Name", "")
    reason = instance.get("StateReason", {})
    state = _STATES.get(name, State.UNKNOWN)
    if name == "terminated":
        if instance["InstanceId"] in deleted or reason.get("Code") == _ASKED:
            return None
        state = State.STOPPED if reason.get("Code", "").startswith("Client.InstanceInitiated") else State.FAILED
    return Machine(
        id=instance["InstanceId"],
        stamp=tags.get(STAMP) or instance.get("ClientToken", ""),
        queue=tags.get(QUEUE, ""),
        state=state,
        created=_moment(instance.get("LaunchTime")),
        flavor=instance.get("InstanceType", ""),
        spot=instance.get("InstanceLifecycle") == "spot",
        why=_why(reason) or instance.get("StateTransitionReason", "")[:_WORDS],
        address=instance.get("PublicIpAddress") or instance.get("PrivateIpAddress", ""),
    )


def is_of(instance: Mapping[str, Any], central: str) -> bool:
    """Whether an instance bears the mark of this central."""
    return any(tag["Key"] == CENTRAL and tag.get("Value") == central for tag in instance.get("Tags", ()))


def tags(central: str, queue: str, stamp: str) -> list[dict[str, str]]:
    """What a machine bears from the moment that it exists."""
    values = {"Name": f"pilotage-{central}-{stamp}", CENTRAL: central, QUEUE: queue, STAMP: stamp}
    return [{"Key": key, "Value": value} for key, value in values.items()]


def _why(reason: Mapping[str, str]) -> str:
    """``Server.SpotInstanceTermination: …``; EC2's messages mostly begin with the code."""
    code, message = reason.get("Code", ""), reason.get("Message", "")
    told = message if message.startswith(code) else f"{code}: {message}"
    return " ".join(told.split())[:_WORDS]


def _moment(then: datetime | None) -> float | None:
    return then.timestamp() if then else None
