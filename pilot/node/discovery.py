"""All probes of this machine, behind the port `commands.context.Node`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from pilot.node import build, disk, hardware
from pilot.node.machine import Machine
from pilot.node.probes import LIMIT, Probe, run_probes
from pilot.protocol import Amount, Fact


@dataclass(frozen=True)
class Declared:
    """What the queue says about itself. It narrows what is found, and stands in for what cannot be found."""

    cores: Amount = None
    memory: Amount = None  # bytes
    disk: Amount = None  # bytes
    wall_time: Amount = None  # seconds from the pilot's start
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Discovery:
    """Looks at one machine."""

    machine: Machine
    work: Path
    declared: Declared
    started: float  # when the pilot started, by the monotonic clock
    limit: float = LIMIT  # seconds for each probe

    def facts(self) -> tuple[Fact, ...]:
        machine, declared = self.machine, self.declared
        probes = (
            Probe("hardware", ("cores", "cpus", "memory"), lambda: hardware_facts(machine, declared)),
            Probe("disk", ("disk",), lambda: [disk.disk(self.work, declared.disk)]),
            Probe("platform", ("arch", "microarch", "glibc", "os", "kernel"), lambda: build.platform(machine)),
            Probe("cpu", ("cpu", *build.TAGS), lambda: build.cpu(machine)),
            Probe("cvmfs", ("tag:cvmfs",), _cvmfs),
        )
        elapsed = time.monotonic() - self.started
        return settle((seconds_left(declared.wall_time, elapsed), *run_probes(probes, self.limit)), declared.tags)

    def free_disk(self, path: Path) -> Optional[int]:
        return disk.free(path)


def hardware_facts(machine: Machine, declared: Declared) -> tuple[Fact, ...]:
    """Cores, their numbers, and memory."""
    cores, cpus = hardware.cores(machine, declared.cores)
    count = cores.value if isinstance(cores.value, int) else None
    return cores, cpus, hardware.memory(machine, declared.memory, count)


def seconds_left(wall_time: Amount, elapsed: float) -> Fact:
    """The fact `seconds_left`: only the queue knows it; nothing declared is unknown, not endless."""
    if wall_time is None:
        return Fact("seconds_left", None, "the queue declares no wall time")
    left = wall_time if isinstance(wall_time, str) else max(0, int(wall_time - elapsed))
    return Fact("seconds_left", left, hardware.BY_QUEUE)


def _cvmfs() -> Sequence[Fact]:
    """Whether CernVM-FS is there. Looking at a broken mount hangs, which is why probes have a time limit."""
    place = "/cvmfs/cvmfs-config.cern.ch/etc"
    return [Fact("tag:cvmfs", os.path.isdir(place), f"looked for {place}")]


def settle(facts: Sequence[Fact], tags: Sequence[str]) -> tuple[Fact, ...]:
    """Tags that the queue declares are there whatever a probe says: whoever declares one answers for it."""
    declared = [Fact(f"tag:{tag}", True, hardware.BY_QUEUE) for tag in tags]
    names = {fact.name for fact in declared}
    return (*(fact for fact in facts if fact.name not in names), *declared)
