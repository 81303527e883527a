"""What cgroups, version 1 and 2, allow this process. The texts of the kernel are parsed here, and read by the caller.

A limit binds wherever it stands between the process's own group and the top, so every group on the way is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional

#: Version 1 says "no limit" with the largest multiple of a page; nobody has so many bytes.
NO_LIMIT = 2**60
Read = Callable[[str], Optional[str]]


@dataclass(frozen=True)
class Limit:
    """A limit and where it stands."""

    value: float
    source: str


@dataclass(frozen=True)
class Mount:
    """A mounted hierarchy: where, which part of it is seen there, which controllers (none: version 2)."""

    point: str
    root: str
    controllers: tuple[str, ...] = ()


def parse_membership(text: str) -> dict[str, str]:
    """`/proc/self/cgroup`: controller → path of our group. Version 2 is the controller ``""``."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        if number == "0" and not controllers:
            found[""] = path
        for controller in filter(None, controllers.split(",")):
            found[controller] = path
    return found


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """`/proc/self/mountinfo`: the cgroup hierarchies that are mounted."""
    found: list[Mount] = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if not separator or len(left) < 5 or len(right) < 3:
            continue
        point, root = _unescape(left[4]), _unescape(left[3])
        if right[0] == "cgroup2":
            found.append(Mount(point, root))
        elif right[0] == "cgroup":
            found.append(Mount(point, root, tuple(right[2].split(","))))
    return tuple(found)


def parse_bytes(text: str) -> Optional[int]:
    """`memory.max` or `memory.limit_in_bytes`: bytes, None for no limit."""
    word = text.strip()
    return int(word) if word.isdecimal() and int(word) < NO_LIMIT else None


def parse_cpu_max(text: str) -> Optional[float]:
    """`cpu.max` of version 2, "quota period": cores, None for no limit."""
    quota, _, period = text.strip().partition(" ")
    return parse_quota(quota, period or "100000")


def parse_quota(quota: str, period: str) -> Optional[float]:
    """`cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1: cores, None for no limit."""
    if not quota.strip().isdecimal() or not period.strip().isdecimal() or int(period) == 0:
        return None  # "max" and -1 are no limit
    return int(quota) / int(period)


def memory_limit(read: Read) -> Optional[Limit]:
    """The narrowest memory limit on this process, in bytes."""
    limits: list[Limit] = []
    for version, place in _groups(read, "memory"):
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        value = parse_bytes(read(f"{place}/{name}") or "")
        if value is not None:
            limits.append(Limit(value, f"cgroup v{version}: {place}/{name}"))
    return min(limits, key=lambda limit: limit.value, default=None)


def cpu_limit(read: Read) -> Optional[Limit]:
    """The narrowest quota on this process, in cores."""
    limits: list[Limit] = []
    for version, place in _groups(read, "cpu"):
        if version == 2:
            name, value = "cpu.max", parse_cpu_max(read(f"{place}/cpu.max") or "")
        else:
            quota, period = read(f"{place}/cpu.cfs_quota_us") or "", read(f"{place}/cpu.cfs_period_us") or ""
            name, value = "cpu.cfs_quota_us", parse_quota(quota, period)
        if value is not None:
            limits.append(Limit(value, f"cgroup v{version}: {place}/{name}"))
    return min(limits, key=lambda limit: limit.value, default=None)


def _groups(read: Read, controller: str) -> Iterator[tuple[int, str]]:
    """The directories of our group and those above it, of both versions where both are mounted."""
    ours = parse_membership(read("/proc/self/cgroup") or "")
    for mount in parse_mounts(read("/proc/self/mountinfo") or ""):
        if mount.controllers and controller not in mount.controllers:
            continue
        path = ours.get(controller if mount.controllers else "")
        if path is not None:
            for place in ancestry(mount, path):
                yield (1 if mount.controllers else 2), place


def ancestry(mount: Mount, path: str) -> Iterator[str]:
    """The directory of a group below its mount, and those above it up to the mount."""
    root = mount.root.rstrip("/")
    inside = path[len(root) :] if path == root or path.startswith(root + "/") else ""  # seen from elsewhere: the top
    if ".." in inside.split("/"):
        inside = ""
    parts = [part for part in inside.split("/") if part]
    for depth in range(len(parts), -1, -1):
        yield "/".join([mount.point.rstrip("/"), *parts[:depth]])


def _unescape(text: str) -> str:
    """mountinfo writes blanks and the like as octal numbers."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
