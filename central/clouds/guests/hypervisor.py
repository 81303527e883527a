"""What tells one kind of guests from another: what they are booted from, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from central.clouds.port import Flavor, Named


@dataclass(frozen=True)
class Guest:
    """One guest that is to be started. Its folder is there, and nobody else's."""

    id: str
    folder: Path
    image: Path
    flavor: Flavor
    networks: tuple[str, ...]
    user_data: bytes = field(repr=False)

    @property
    def hostname(self) -> str:
        """Its id is too long for some."""
        return f"pilotage-{self.id.rpartition('-')[2][:12]}"


@dataclass(frozen=True)
class Start:
    """What starts a guest: a program in its folder, and the control groups that it goes into."""

    argv: Sequence[str]
    groups: Sequence[Path] = ()


class Hypervisor(Protocol):
    """One way to run guests. Everything may block, and raises `OSError` or `ComputingError`."""

    @property
    def kind(self) -> str: ...

    def lacks(self) -> str:
        """What this host has not got, as a phrase; empty when nothing is missing."""

    def boots(self, image: Path) -> bool:
        """Whether it can boot what is there."""

    def networks(self) -> Sequence[Named]:
        """Those that a guest may be put into."""

    def prepare(self, guest: Guest) -> Start:
        """Lay out what the guest is booted from."""

    def release(self, id: str) -> None:
        """Let go of what a guest that has ended had outside its folder."""
