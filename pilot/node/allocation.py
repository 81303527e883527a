"""What batch systems have given to the job that this pilot is: the first word on cores, memory and time.

Each system is a module of `pilot.node.batch` with one function, `look`. Several may speak (HTCondor inside Slurm, with
job features beside them); each of them binds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union


@dataclass(frozen=True)
class Said:
    """A number, or "unlimited", and who says it."""

    value: Union[int, str]
    source: str


@dataclass(frozen=True)
class Gpus:
    """Which GPUs were given: their numbers, UUIDs, or beginnings of UUIDs. Empty: none."""

    names: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Allocation:
    """What one system says of this job on this node. What it does not say is None."""

    system: str
    job: str
    source: str
    cores: Optional[Said] = None
    memory: Optional[Said] = None  # bytes, of all cores together
    disk: Optional[Said] = None  # bytes
    seconds_left: Optional[Said] = None  # of wall time
    cpu_seconds_left: Optional[Said] = None  # of CPU time, of all cores together
    gpus: Optional[Gpus] = None


def narrowest(candidates: Sequence[Optional[Said]]) -> Optional[Said]:
    """The smallest number; "unlimited" where somebody says that and nobody says a number."""
    said = [candidate for candidate in candidates if candidate is not None]
    numbers = [candidate for candidate in said if isinstance(candidate.value, int)]
    if numbers:
        return min(numbers, key=lambda candidate: candidate.value)
    return said[0] if said else None
