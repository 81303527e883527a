"""Flavors and quotas of LXD: pure.

A flavor is a profile that bounds cores and memory, ``limits.cpu`` and ``limits.memory``. The quota is what the project
is bounded to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from central.clouds.port import Flavor, Quota, Room
from pilot.errors import InvalidInput
from pilot.units import bytes_of

_CPU, _MEMORY = "limits.cpu", "limits.memory"
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def flavors(profiles: Iterable[Mapping[str, Any]]) -> list[Flavor]:
    found = []
    for profile in profiles:
        name, limits = profile["name"], profile.get("config") or {}
        cores, memory = cores_of(limits.get(_CPU, "")), memory_of(limits.get(_MEMORY, ""))
        if cores and memory:
            found.append(Flavor(name, name, cores, memory))
    return found


def cores_of(limit: str) -> int:
    """Of ``4``, or of a set of processors as ``0-3,8``; 0: it does not say."""
    if limit.isascii() and limit.isdecimal():
        return int(limit)
    found = [_RANGE.fullmatch(each.strip()) for each in limit.split(",")]
    return sum(int(each[2] or each[1]) - int(each[1]) + 1 for each in found if each) if all(found) else 0


def memory_of(limit: str) -> int:
    """Bytes; 0: it does not say, or says a part of the host's."""
    try:
        return bytes_of(limit, _MEMORY) if limit else 0
    except InvalidInput:
        return 0


def quota(project: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> Quota:
    """`instances`: all of the project, of whomever. LXD counts those that are off as well."""
    limits = project.get("config") or {}
    bounds = [int(limits[key]) for key in ("limits.instances", "limits.containers") if limits.get(key)]
    has = [each.get("expanded_config") or {} for each in instances]
    return Quota(
        machines=Room(len(instances), min(bounds, default=None)),
        cores=Room(sum(cores_of(each.get(_CPU, "")) for each in has), cores_of(limits.get(_CPU, "")) or None),
        memory=Room(sum(memory_of(each.get(_MEMORY, "")) for each in has), memory_of(limits.get(_MEMORY, "")) or None),
    )


def current(projects: str) -> str:
    """The name of the project that is worked in, of what ``lxc project list --format csv`` prints."""
    names = [line.partition(",")[0] for line in projects.splitlines()]
    return next((name.removesuffix(" (current)") for name in names if name.endswith(" (current)")), "default")
