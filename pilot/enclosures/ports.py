"""What a payload's enclosure can do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional, Protocol


@dataclass(frozen=True)
class Bounds:
    """What is allowed inside. None or empty: not bounded."""

    memory: Optional[int] = None  # bytes
    cores: Optional[int] = None  # of CPU time, each second
    cpus: tuple[int, ...] = ()  # numbers of the CPUs that may be used
    processes: Optional[int] = None  # threads count too: the kernel counts tasks


@dataclass(frozen=True)
class Counted:
    """What the kernel has counted inside. None: it does not count that here."""

    cpu: Optional[float] = None  # seconds so far, of all that ever were inside
    memory: Optional[int] = None  # bytes now, without what could be dropped at once
    processes: int = 0  # now
    oom_kills: int = 0  # processes that were killed because the memory bound was reached
    starved: int = 0  # processes that were killed although it was not: those above, or the machine, had no more


class Enclosure(Protocol):
    """One payload's. Any method may be called from any thread, also after its end."""

    def admit(self, pid: int) -> None:
        """Put a process inside; what it starts from now on is inside too. Raises OSError."""

    def members(self) -> list[int]:
        """The processes inside."""

    def outside(self, pids: Iterable[int]) -> list[int]:
        """Those of these processes that are not in every group of it: the pilot's user may have moved them."""

    def count(self) -> Counted:
        """What is counted now."""

    def kill(self) -> None:
        """Kill everything inside, as far as this can be done in one go. Nothing new can be started meanwhile."""

    def close(self) -> None:
        """Remove it. What cannot be removed yet stays, and is removed with the pilot's own groups."""


class Enclosures(Protocol):
    """Makes them."""

    @property
    def described(self) -> str:
        """What holds, for people: ``cgroup v2: cpu, memory, pids, kill``."""

    def enclose(self, name: str, bounds: Bounds) -> Enclosure:
        """A new one. `name` is a file name that no other of this pilot has. Raises OSError."""

    def close(self) -> None:
        """Remove all that is left."""
