"""All probes of this machine, behind the port `commands.context.Node`."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot import imagename
from pilot.imds import GUARDED
from pilot.node import build, clock, cloud, disk, gpus, hardware, network, nvml, software
from pilot.node.allocation import Allocation
from pilot.node.batch import allocations
from pilot.node.gpus import Library
from pilot.node.machine import Machine
from pilot.node.power import Power
from pilot.node.probes import LIMIT, Probe, run_probes
from pilot.protocol import Amount, Fact

#: Seconds for GPUs, whose driver may have to wake each of them first, and for the trial of containers, which is heavy
#: where many pilots start at once. To lose either to haste would cost the pilot's whole life.
SLOW = 30.0
#: Seconds for what waits for batch systems' words: two commands in a row, and the addresses of job features after them,
#: each within its own bound. What the machine itself says is not to be lost with those that do not answer.
ASKING = 15.0


@dataclass(frozen=True)
class Declared:
    """What the queue says about itself. It narrows what is found, and stands in for what cannot be found."""

    cores: Amount = None
    memory: Amount = None  # bytes
    disk: Amount = None  # bytes
    wall_time: Amount = None  # seconds from the pilot's start
    tags: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()  # HOST:PORT, any of which is reached where the outside can be


@dataclass(frozen=True)
class Discovery:
    """Looks at one machine."""

    machine: Machine
    work: Path
    declared: Declared
    started: float  # when the pilot started, by the monotonic clock
    limit: float = LIMIT  # seconds for each probe
    benchmark: Optional[Power] = None  # None: power is never measured
    library: Library = nvml.devices
    guard: Optional[Callable[[], Sequence[Fact]]] = None  # tries what payloads must not reach; None: nothing

    def facts(self) -> tuple[Fact, ...]:
        return settle(run_probes(self.probes(), self.limit), self.declared.tags)

    def probes(self) -> tuple[Probe, ...]:
        """Every probe, each to be run on its own."""
        machine, declared = self.machine, self.declared
        elapsed = max(0.0, time.monotonic() - self.started)
        given = once(lambda: allocations(machine, elapsed))
        return (
            Probe("allocation", ALLOCATION, lambda: allocation(machine, declared, elapsed, given()), ASKING),
            Probe("disk", ("disk",), lambda: [disk.disk(self.work, declared.disk, given())], ASKING),
            Probe("gpus", ("gpus",), lambda: self._gpus(given()), SLOW),
            Probe("platform", ("arch", "microarch", "glibc", "os", "kernel"), lambda: build.platform(machine)),
            Probe("cpu", ("cpu", *build.TAGS), lambda: build.cpu(machine)),
            Probe("cvmfs", software.CVMFS, software.cvmfs),
            Probe("xrootd", software.XROOTD, software.xrootd),
            Probe("network", network.NAMES, lambda: network.network(machine, declared.reach)),
            Probe("clock", clock.NAMES, clock.clock),
            Probe("cloud", cloud.NAMES, lambda: cloud.identity(machine)),
            Probe("cgroups", software.CGROUPS, lambda: software.cgroups(machine)),
            Probe("containers", software.CONTAINERS, lambda: software.containers(machine), SLOW),
            *(() if self.guard is None else (Probe("imds", GUARDED, self.guard, SLOW),)),
        )

    def _gpus(self, given: Sequence[Allocation]) -> tuple[Fact, ...]:
        return gpus.gpus(self.machine, self.library, given, has_all(self.machine, given))

    def free_disk(self, path: Path) -> Optional[int]:
        return disk.free(path)

    def power(self) -> Optional[float]:
        return self.benchmark.value() if self.benchmark is not None else None

    def measure_power(self, tell: Callable[[Fact], None]) -> None:
        if self.benchmark is not None:
            self.benchmark.measure(tell)


#: Facts of the probe of the same name.
ALLOCATION = ("batch", "batch_job", "seconds_left", "cores", "cpus", "memory")


def allocation(
    machine: Machine, declared: Declared, elapsed: float, given: Sequence[Allocation]
) -> tuple[Fact, ...]:  # fmt: skip
    """What is ours of the machine, whoever gave it."""
    cores, cpus = hardware.cores(machine, declared.cores, given)
    count = cores.value if isinstance(cores.value, int) else None
    return (
        *hardware.batch(given),
        hardware.seconds_left(declared.wall_time, elapsed, given, count),
        cores,
        cpus,
        hardware.memory(machine, declared.memory, count, given),
    )


def has_all(machine: Machine, given: Sequence[Allocation]) -> bool:
    """Whether every core of the machine is ours: then so is what nobody counts."""
    online = len(hardware.parse_cpu_list(machine.read("/sys/devices/system/cpu/online") or ""))
    cores = hardware.cores(machine, None, given)[0].value
    return isinstance(cores, int) and 0 < online <= cores


def once(make: Callable[[], tuple[Allocation, ...]]) -> Callable[[], tuple[Allocation, ...]]:
    """The same value for whoever asks, made by whoever asks first."""
    lock = threading.Lock()
    made: list[tuple[Allocation, ...]] = []

    def get() -> tuple[Allocation, ...]:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


def settle(facts: Sequence[Fact], tags: Sequence[str]) -> tuple[Fact, ...]:
    """Tags that the queue declares are there whatever a probe says, whoever declares one answers for it, but for those
    of containers: a job that is let in where none can be run is lost."""
    declared = [Fact(f"tag:{tag}", True, hardware.BY_QUEUE) for tag in tags if tag not in imagename.PROVED]
    names = {fact.name for fact in declared}
    return (*(fact for fact in facts if fact.name not in names), *declared)
