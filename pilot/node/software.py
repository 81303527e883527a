"""What else payloads may find here: CernVM-FS, cgroups that are ours to use, and containers that can be run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Callable

from pilot.destination import XROOTD_TAG
from pilot.node.cgroups import Mount, ancestry, parse_membership, parse_mounts
from pilot.node.machine import Machine
from pilot.protocol import Fact
from pilot.singularity import probe

CVMFS = ("tag:cvmfs",)
XROOTD = (f"tag:{XROOTD_TAG}",)
CONTAINERS = ("container", "tag:container:apptainer", "tag:container:sif", "tag:container:isolated")
CGROUPS = ("cgroups", "cgroups_ours")


def cvmfs() -> Sequence[Fact]:
    """Whether CernVM-FS is there. Looking at a broken mount hangs, which is why probes have a time limit."""
    place = "/cvmfs/cvmfs-config.cern.ch/etc"
    return [Fact("tag:cvmfs", os.path.isdir(place), f"looked for {place}")]


def xrootd() -> Sequence[Fact]:
    """Whether the client for ``root://`` is there; by it alone files go to and come from such storages."""
    found = shutil.which("xrdcp") is not None and shutil.which("xrdfs") is not None
    return [Fact(f"tag:{XROOTD_TAG}", found, "looked for xrdcp and xrdfs on the PATH")]


def containers(machine: Machine) -> tuple[Fact, ...]:
    """What containers were proved by trying."""
    return probe.abilities(machine)


def writable(place: str) -> bool:
    """Whether this user may make groups there."""
    return os.access(place, os.W_OK)


def cgroups(machine: Machine, may: Callable[[str], bool] = writable) -> tuple[Fact, ...]:
    """Which versions are mounted, and which controllers this user may limit its payloads with."""
    mounts = parse_mounts(machine.read("/proc/self/mountinfo") or "")
    if not mounts:
        return tuple(Fact(name, None, "no cgroups in /proc/self/mountinfo") for name in CGROUPS)
    ours = parse_membership(machine.read("/proc/self/cgroup") or "")
    versions = sorted({"v1" if mount.controllers else "v2" for mount in mounts})
    usable = sorted({name for mount in mounts for name in _usable(machine, mount, ours, may)})
    return (
        Fact("cgroups", "+".join(versions), "/proc/self/mountinfo"),
        Fact("cgroups_ours", ",".join(usable), "groups of ours that this user may write to"),
    )


def _usable(machine: Machine, mount: Mount, ours: dict[str, str], may: Callable[[str], bool]) -> tuple[str, ...]:
    """The controllers of a hierarchy, where its group of ours can be written to."""
    path = next((ours[name] for name in (mount.controllers or ("",)) if name in ours), None)
    if path is None:
        return ()
    place = next(iter(ancestry(mount, path)))
    if not may(place):
        return ()
    if mount.controllers:
        return tuple(name for name in mount.controllers if name in ours and not name.startswith("name="))
    return tuple((machine.read(f"{place}/cgroup.controllers") or "").split())
