"""Cores, memory and time: what batch system, kernel, cgroups and queue allow, and which of them is the narrowest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from pilot.node.allocation import Allocation, Said, narrowest
from pilot.node.cgroups import cpu_limit, memory_limit
from pilot.node.machine import Machine
from pilot.protocol import Amount, Fact

BY_QUEUE = "declared by the queue"
#: No Linux has a CPU of a higher number; one who writes of more is not believed.
MOST_CPUS = 65_536


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """A list of CPUs as the kernel writes it: ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) >= MOST_CPUS:
            return ()
        found.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def show_cpu_list(cpus: Iterable[int]) -> str:
    """The same, written."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_meminfo(text: str) -> dict[str, int]:
    """`/proc/meminfo`: name → bytes."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def cores(machine: Machine, declared: Amount, allocations: Sequence[Allocation] = ()) -> tuple[Fact, Fact]:
    """The facts `cores` and `cpus`: how many, and their numbers where attempts may be bound to them."""
    affinity = machine.system.affinity
    candidates = _numbers([allocation.cores for allocation in allocations])
    if isinstance(declared, int):
        candidates.append((declared, BY_QUEUE))
    if affinity:
        candidates.append((len(affinity), f"affinity: CPUs {show_cpu_list(affinity)}"))
    quota = cpu_limit(machine.read)
    if quota is not None:
        # Half a core is still one slot, that runs at half speed; one and a half is one at full speed.
        candidates.append((max(1, int(quota.value)), f"{quota.source} = {quota.value:g}"))
    if not candidates:
        return Fact("cores", None, "neither affinity nor cgroups nor the queue say it"), _bound((), "unknown cores")
    count, source = min(candidates, key=lambda candidate: candidate[0])
    return Fact("cores", count, source), _cpus(machine, count)


def _cpus(machine: Machine, count: int) -> Fact:
    """Binding is for CPUs that were given to us: others on the machine would bind to the same ones."""
    affinity = machine.system.affinity
    online = parse_cpu_list(machine.read("/sys/devices/system/cpu/online") or "")
    if count != len(affinity):
        return _bound((), f"not bound: {count} of {len(affinity)} CPUs are ours, nobody says which")
    if not online or len(online) <= len(affinity):
        return _bound((), "not bound: no CPUs were set aside for us")
    return _bound(affinity, f"affinity, narrower than the {len(online)} CPUs online")


def _bound(cpus: tuple[int, ...], source: str) -> Fact:
    return Fact("cpus", show_cpu_list(cpus), source)


def memory(machine: Machine, declared: Amount, cores: Optional[int], allocations: Sequence[Allocation] = ()) -> Fact:
    """The fact `memory`, in bytes."""
    candidates = _numbers([allocation.memory for allocation in allocations])
    if isinstance(declared, int):
        candidates.append((declared, BY_QUEUE))
    limit = memory_limit(machine.read)
    if limit is not None:
        candidates.append((int(limit.value), limit.source))
    total = parse_meminfo(machine.read("/proc/meminfo") or "").get("MemTotal")
    if total is not None:
        # Who has some of the cores, and no limit of memory, has neighbours: then its share is fair.
        online = len(parse_cpu_list(machine.read("/sys/devices/system/cpu/online") or ""))
        if not candidates and cores is not None and cores < online:
            candidates.append((total * cores // online, f"MemTotal of /proc/meminfo, for {cores} of {online} CPUs"))
        candidates.append((total, "MemTotal of /proc/meminfo"))
    if not candidates:
        return Fact("memory", None, "neither cgroups nor /proc/meminfo nor the queue say it")
    value, source = min(candidates, key=lambda candidate: candidate[0])
    return Fact("memory", value, source)


def _numbers(said: Sequence[Optional[Said]]) -> list[tuple[int, str]]:
    """What batch systems say in numbers; a nothing is a way of not saying."""
    return [
        (each.value, each.source) for each in said if each is not None and isinstance(each.value, int) and each.value
    ]


def seconds_left(
    wall_time: Amount, elapsed: float, allocations: Sequence[Allocation] = (), cores: Optional[int] = None
) -> Fact:
    """The fact `seconds_left`, of wall time: by batch systems and by the queue; unknown is not endless.

    No margin is taken off here: that is done once, where capacity is decided. A limit of CPU time is met soonest when
    all cores are busy.
    """
    candidates = [allocation.seconds_left for allocation in allocations]
    for allocation in allocations:
        burnt = allocation.cpu_seconds_left
        if burnt is not None and isinstance(burnt.value, int):
            busy = max(1, cores or 1)
            candidates.append(Said(burnt.value // busy, f"{burnt.source}, of CPU time on {busy} cores"))
    if wall_time is not None:
        left = wall_time if isinstance(wall_time, str) else max(0, int(wall_time - elapsed))
        candidates.append(Said(left, BY_QUEUE))
    found = narrowest(candidates)
    if found is not None:
        return Fact("seconds_left", found.value, found.source)
    if allocations:
        return Fact("seconds_left", None, f"neither {allocations[0].system} nor the queue tells a limit")
    return Fact("seconds_left", None, "the queue declares no wall time")


def batch(allocations: Sequence[Allocation]) -> tuple[Fact, Fact]:
    """The facts `batch` and `batch_job`: in which system this pilot is a job, and which one."""
    systems = ", ".join(allocation.system for allocation in allocations)
    source = "; ".join(allocation.source for allocation in allocations) or "no batch system's variables are set"
    job = next((allocation.job for allocation in allocations if allocation.job), "")
    return Fact("batch", systems, source), Fact("batch_job", job, source)
