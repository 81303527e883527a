"""What LXD lists, as machines: pure.

A machine bears its marks as settings of its own, ``user.pilotage-…``, from the moment that it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from central.clouds.port import Intent, Machine, State

CENTRAL, QUEUE, STAMP = "user.pilotage-central", "user.pilotage-queue", "user.pilotage-stamp"
FLAVOR = "user.pilotage-flavor"
USER_DATA = "user.user-data"
_STATES = {
    "running": State.RUNNING,
    "starting": State.BUILDING,
    "pending": State.BUILDING,
    "stopped": State.STOPPED,
    "aborting": State.STOPPED,
}


def name(central: str, stamp: str) -> str:
    return f"pilotage-{central}-{stamp}"


def settings(central: str, intent: Intent) -> dict[str, str]:
    """What a machine is created with. Its user-data is not among it: it has a secret, and this is shown to others."""
    return {CENTRAL: central, QUEUE: intent.queue, STAMP: intent.stamp, FLAVOR: intent.flavor}


def machine(instance: Mapping[str, Any]) -> Machine:
    marks = instance.get("config") or {}
    state = _STATES.get(str(instance.get("status", "")).lower(), State.UNKNOWN)
    if state is State.STOPPED and not was_started(instance):
        state = State.BUILDING
    return Machine(
        id=instance["name"],
        stamp=marks.get(STAMP, ""),
        queue=marks.get(QUEUE, ""),
        state=state,
        created=_moment(instance.get("created_at", "")),
        flavor=marks.get(FLAVOR, ""),
        address=_address(instance.get("state") or {}),
    )


def is_of(instance: Mapping[str, Any], central: str) -> bool:
    """Whether an instance bears the mark of this central."""
    return (instance.get("config") or {}).get(CENTRAL) == central


def was_started(instance: Mapping[str, Any]) -> bool:
    """Whether it has ever run. One that has not is not off: its creation is under way, or was broken off."""
    used = _moment(instance.get("last_used_at", ""))
    return bool(used and used > 0) or str(instance.get("status", "")).lower() == "running"


def _moment(text: str) -> float | None:
    """Seconds since the epoch; LXD tells nanoseconds, and the year 1970 or 1 for never."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    return then.timestamp() if then.tzinfo and then.year > 1 else None


def _address(state: Mapping[str, Any]) -> str:
    """The first that others can reach."""
    for interface in (state.get("network") or {}).values():
        for address in interface.get("addresses") or ():
            if address.get("scope") == "global":
                return str(address.get("address", ""))
    return ""
