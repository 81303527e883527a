"""What a pilot holds its payloads with, beside the watchdog: users of their own, and control groups."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.enclosures.finding import Found, find, remove_left, trial
from pilot.enclosures.ports import Enclosures
from pilot.enclosures.tree import KernelTree
from pilot.errors import InvalidInput
from pilot.payloads import rights
from pilot.payloads.slot_users import SlotUsers, cannot_enter, users_of


@dataclass(frozen=True)
class Containment:
    """None: this pilot cannot, or was not told to. `problem`: why no payload may run here at all."""

    users: Optional[SlotUsers] = None
    enclosures: Optional[Enclosures] = None
    problem: str = ""

    def close(self) -> None:
        """Leave nothing behind."""
        if self.enclosures is not None:
            self.enclosures.close()


def group_name(stamp: str, agent: int) -> str:
    """How the control groups of an agent are called, after the prefix that all pilots' have."""
    return f"{stamp[:16]}-{agent}"


def remove_groups(stamp: str, agents: int) -> None:
    """Remove what agents that were killed have left. Their payloads must have ended."""
    tree = KernelTree(time.time())
    for agent in range(1, agents + 1):
        remove_left(tree, group_name(stamp, agent))


def control_groups(name: str) -> Found:
    """Control groups of this pilot's own, tried with a process that does nothing."""
    held: dict[int, subprocess.Popen[bytes]] = {}

    def start() -> int:
        waiting = subprocess.Popen(
            ["/bin/sh", "-c", "read -r line"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        held[waiting.pid] = waiting
        return waiting.pid

    def end(pid: int) -> None:
        held.pop(pid).communicate()

    return find(KernelTree(time.time()), name, trial(start, end))


def contain(
    slot_users: str, work: Path, enclosures: Callable[[], Found], say: Callable[[str], None]
) -> Containment:  # fmt: skip
    """What the configuration wants and this machine allows; says so in the pilot's log."""
    users: Optional[SlotUsers] = None
    if slot_users:
        try:
            users = users_of(slot_users)
        except InvalidInput as problem:
            return Containment(problem=str(problem))
        closed = cannot_enter(work, users.free)
        if closed:
            return Containment(problem=closed)
        rights.forget_groups()
    found = enclosures()
    made = found.enclosures
    whose = f"each payload has a user of its own ({slot_users})" if users else "payloads run as the pilot's user"
    why = f" ({'; '.join(found.notes)})" if found.notes and not made else ""
    say(f"{whose}; {made.described if made else f'no control groups{why}: the watchdog keeps the limits'}")
    return Containment(users, made)
