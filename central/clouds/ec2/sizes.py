"""What EC2 says of its instance types, as flavors: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from central.clouds.port import Flavor

_MIB, _GB = 1024**2, 10**9


def flavors(types: Iterable[Mapping[str, Any]]) -> tuple[Flavor, ...]:
    """What the answers of DescribeInstanceTypes say, in the order of names. A disk is that of the machine itself: what
    it starts from comes by network, as large as its image."""
    return tuple(sorted(map(_flavor, types), key=lambda flavor: flavor.name))


def _flavor(told: Mapping[str, Any]) -> Flavor:
    name = told["InstanceType"]
    disk = told.get("InstanceStorageInfo", {}).get("TotalSizeInGB")
    return Flavor(
        id=name,
        name=name,
        cores=told.get("VCpuInfo", {}).get("DefaultVCpus", 1),
        memory=told.get("MemoryInfo", {}).get("SizeInMiB", 0) * _MIB,
        disk=disk * _GB if disk else None,
        gpus=sum(gpu.get("Count", 0) for gpu in told.get("GpuInfo", {}).get("Gpus", ())),
    )
