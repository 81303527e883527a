"""What is written to a control group to bound it, and what its counters say. Pure; versions 1 and 2 of the kernel's.

The files are those of the kernel's documents `cgroup-v1/*` and `cgroup-v2`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Callable, Optional

from pilot.enclosures.ports import Bounds, Counted

#: Microseconds; a payload that has used up its part of one waits for the next. The kernel's own default.
PERIOD = 100_000
#: Bytes: the kernel takes memory in portions for each CPU, so the highest use may stay this much below the bound.
NEAR = 1024 * 1024
#: The controllers that an enclosure makes use of, by version.
USED = {1: ("cpu", "cpuacct", "cpuset", "memory", "pids"), 2: ("cpu", "cpuset", "memory", "pids")}
#: Reads a file of the group, None where there is none.
Read = Callable[[str], Optional[str]]


@dataclass(frozen=True)
class Write:
    """One write to one file. Optional: a kernel may lack the file, or refuse, and the rest holds still."""

    file: str
    text: str
    optional: bool = False


def writes(version: int, controllers: Iterable[str], bounds: Bounds) -> tuple[Write, ...]:
    """Everything that bounds a group with these controllers, in the order in which it must be written."""
    made = {1: _version_1, 2: _version_2}[version]
    return tuple(write for controller in controllers for write in made(controller, bounds))


def _version_2(controller: str, bounds: Bounds) -> Iterator[Write]:
    if controller == "memory" and bounds.memory is not None:
        yield Write("memory.max", str(bounds.memory))
        yield Write("memory.swap.max", "0", optional=True)  # what a job asks for is memory
        yield Write("memory.oom.group", "1", optional=True)  # half a payload is of no use to anybody
    elif controller == "cpu" and bounds.cores is not None:
        yield Write("cpu.max", f"{bounds.cores * PERIOD} {PERIOD}")
    elif controller == "pids" and bounds.processes is not None:
        yield Write("pids.max", str(bounds.processes))
    elif controller == "cpuset" and bounds.cpus:
        yield Write("cpuset.cpus", ",".join(map(str, bounds.cpus)), optional=True)


def _version_1(controller: str, bounds: Bounds) -> Iterator[Write]:
    if controller == "memory" and bounds.memory is not None:
        yield Write("memory.limit_in_bytes", str(bounds.memory))
        yield Write("memory.memsw.limit_in_bytes", str(bounds.memory), optional=True)  # memory and swap together
    elif controller == "cpu" and bounds.cores is not None:
        yield Write("cpu.cfs_period_us", str(PERIOD))
        yield Write("cpu.cfs_quota_us", str(bounds.cores * PERIOD))
    elif controller == "pids" and bounds.processes is not None:
        yield Write("pids.max", str(bounds.processes))
    elif controller == "cpuset" and bounds.cpus:
        yield Write("cpuset.cpus", ",".join(map(str, bounds.cpus)))


def counted(version: int, controllers: Iterable[str], read: Read) -> Counted:
    """What one group's counters say. Version 1 has them for one controller each: see `added`."""
    if version == 2:
        memory = _fields(read("memory.stat"))
        events = _fields(read("memory.events"))
        return _killed(
            Counted(
                cpu=_scaled(_fields(read("cpu.stat")).get("usage_usec"), 1e-6),
                memory=memory["anon"] + memory.get("shmem", 0) if "anon" in memory else None,
            ),
            events.get("oom_kill", 0),
            events.get("oom", 0) > 0,
        )
    found = Counted()
    if "cpuacct" in controllers:
        found = added(found, Counted(cpu=_scaled(_number(read("cpuacct.usage")), 1e-9)))
    if "memory" in controllers:
        memory = _fields(read("memory.stat"))
        used = memory["total_rss"] + memory.get("total_shmem", 0) if "total_rss" in memory else None
        kills = _fields(read("memory.oom_control")).get("oom_kill", 0)
        found = added(found, _killed(Counted(memory=used), kills, _reached(read)))
    return found


def _reached(read: Read) -> bool:
    """Whether a group of version 1 has met its memory bound: some kernels count that, others show the highest use."""
    most, bound = _number(read("memory.max_usage_in_bytes")) or 0, _number(read("memory.limit_in_bytes"))
    return bool(_number(read("memory.failcnt"))) or (bound is not None and most >= bound - NEAR)


def _killed(found: Counted, kills: int, at_bound: bool) -> Counted:
    """The kernel counts kills wherever memory was missing, and beside it whether the group's own bound was reached."""
    return replace(found, oom_kills=kills if at_bound else 0, starved=0 if at_bound else kills)


def added(one: Counted, other: Counted) -> Counted:
    """What two groups of one enclosure say together."""
    return Counted(
        cpu=one.cpu if other.cpu is None else other.cpu,
        memory=one.memory if other.memory is None else other.memory,
        processes=max(one.processes, other.processes),
        oom_kills=max(one.oom_kills, other.oom_kills),
        starved=max(one.starved, other.starved),
    )


def pids(text: Optional[str]) -> list[int]:
    """`cgroup.procs`. 0 is a process that lives in another pid namespace."""
    return [int(word) for word in (text or "").split() if word.isdigit() and word != "0"]


def _fields(text: Optional[str]) -> dict[str, int]:
    """Files of lines with a name and a number."""
    rows = (line.split() for line in (text or "").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _number(text: Optional[str]) -> Optional[int]:
    word = (text or "").strip()
    return int(word) if word.isdigit() else None


def _scaled(amount: Optional[int], unit: float) -> Optional[float]:
    return None if amount is None else amount * unit
