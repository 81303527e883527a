"""Cores and memory: what the kernel, the cgroups and the queue allow, and which of them is the narrowest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from pilot.node.cgroups import cpu_limit, memory_limit
from pilot.node.machine import Machine
from pilot.protocol import Amount, Fact

BY_QUEUE = "declared by the queue"


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """A list of CPUs as the kernel writes it: ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
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
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def cores(machine: Machine, declared: Amount) -> tuple[Fact, Fact]:
    """The facts `cores` and `cpus`: how many, and their numbers where attempts may be bound to them."""
    affinity = machine.system.affinity
    candidates: list[tuple[int, str]] = []
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


def memory(machine: Machine, declared: Amount, cores: Optional[int]) -> Fact:
    """The fact `memory`, in bytes."""
    candidates: list[tuple[int, str]] = []
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
