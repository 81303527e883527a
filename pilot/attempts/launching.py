"""What an attempt starts: its command with everything that was granted to it, and the bounds that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.environment import marker, payload_environment
from pilot.attempts.slots import Slot
from pilot.attempts.watchdog import Limits
from pilot.enclosures.ports import Bounds, Enclosure
from pilot.payloads.payload import Launch
from pilot.protocol import Lease

#: Room above its disk limit that a single file has: the watchdog, which can name the limit, shall come first.
FILE_SLACK = 256 * 1024 * 1024
#: Seconds of CPU time above the limit that a single process has, for the same reason.
CPU_SLACK = 60


def bounds_of(slot: Slot, limits: Limits) -> Bounds:
    """What the kernel is asked to keep."""
    return Bounds(memory=limits.memory, cores=slot.cores, cpus=slot.cpus, processes=limits.processes)


def launch_of(
    lease: Lease,
    slot: Slot,
    limits: Limits,
    place: AttemptDirectory,
    host: Mapping[str, str],
    prepared: Mapping[str, str],
    enclosure: Optional[Enclosure],
) -> Launch:
    """How the payload of an attempt is started."""
    return Launch(
        command=lease.spec.command,
        directory=place.job,
        environment=payload_environment(host, prepared, lease, slot, place),
        stdout=place.stdout,
        stderr=place.stderr,
        marker=marker(place.token),
        cpus=slot.cpus,
        file_bound=None if limits.disk is None else limits.disk + FILE_SLACK,
        cpu_bound=None if limits.cpu_time is None else int(limits.cpu_time) + CPU_SLACK,
        processes=limits.processes,
        user=place.owner,
        enclosure=enclosure,
    )
