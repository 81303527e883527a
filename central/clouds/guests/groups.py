"""Control groups of guests that share this host's kernel: how many cores and how much memory each may use."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from central.clouds.port import Flavor
from central.elements.port import ComputingError, Trouble

ROOT = Path("/sys/fs/cgroup")
_OURS = "pilotage-guests"
_PERIOD = 100_000  # microseconds, the kernel's own default
#: Seconds for the last processes of a group to be gone.
_PATIENCE = 20.0


@dataclass(frozen=True)
class Groups:
    """The control groups of one host, of either version."""

    root: Path = ROOT

    def make(self, id: str, flavor: Flavor) -> Sequence[Path]:
        """Make those of one guest. Returns the folders that its process goes into; raises `ComputingError`."""
        try:
            if (self.root / "cgroup.controllers").exists():
                return [self._unified(id, flavor)]
            return [self._make("cpu", id), self._make("memory", id)] if self._limited(id, flavor) else []
        except OSError as error:
            raise ComputingError(
                f"a guest's cores and memory cannot be bounded: {error.filename}: {error.strerror}", Trouble.REFUSED
            ) from error

    def _unified(self, id: str, flavor: Flavor) -> Path:
        ours = self.root / _OURS
        for above in (self.root, ours):
            above.mkdir(exist_ok=True)
            (above / "cgroup.subtree_control").write_text("+cpu +memory")
        group = ours / id
        group.mkdir(exist_ok=True)
        (group / "cpu.max").write_text(f"{flavor.cores * _PERIOD} {_PERIOD}")
        (group / "memory.max").write_text(str(flavor.memory))
        return group

    def _limited(self, id: str, flavor: Flavor) -> bool:
        """By version 1."""
        (self._make("cpu", id) / "cpu.cfs_quota_us").write_text(str(flavor.cores * _PERIOD))
        (self._make("memory", id) / "memory.limit_in_bytes").write_text(str(flavor.memory))
        return True

    def _make(self, controller: str, id: str) -> Path:
        group = self.root / controller / _OURS / id
        group.mkdir(parents=True, exist_ok=True)
        return group

    def remove(self, id: str) -> None:
        """Of a guest that has ended, with those that it made below its own. Raises `OSError`."""
        for group in (self.root / _OURS / id, *self.root.glob(f"*/{_OURS}/{id}")):
            end = time.monotonic() + _PATIENCE
            while group.exists():
                try:
                    _remove(group)
                except OSError:  # a process that was killed is still on its way out
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.02)


def _remove(group: Path) -> None:
    """Control groups go from the bottom, and their files with them."""
    for folder, _, _ in os.walk(group, topdown=False):
        os.rmdir(folder)
