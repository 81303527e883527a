"""The batch systems that a pilot may find itself in, one module each."""

from __future__ import annotations

from typing import Callable, Optional

from pilot.node.allocation import Allocation
from pilot.node.batch import features, gridengine, htcondor, lsf, oar, pbs, slurm
from pilot.node.machine import Machine

#: `look` of each: the machine, and the seconds since the pilot began → what was given, None where it is another system.
SYSTEMS: tuple[Callable[[Machine, float], Optional[Allocation]], ...] = (
    slurm.look,
    htcondor.look,
    gridengine.look,
    oar.look,
    pbs.look,
    lsf.look,
    features.look,
)


def allocations(machine: Machine, elapsed: float) -> tuple[Allocation, ...]:
    """What every system that we find ourselves in says."""
    found = (look(machine, elapsed) for look in SYSTEMS)
    return tuple(allocation for allocation in found if allocation is not None)
