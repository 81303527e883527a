"""What an attempt was granted, as a file that its payload may read: its name is in ``PILOTAGE_GRANT_FILE``."""

from __future__ import annotations

import json

from pilot.attempts.slots import Slot
from pilot.attempts.watchdog import Limits
from pilot.protocol import Lease


def grant_text(lease: Lease, slot: Slot, limits: Limits) -> str:
    """JSON: numbers in bytes, seconds and pieces; null where nothing bounds it. `cpus` is empty where not bound."""
    grant = {
        "job": lease.job,
        "attempt": lease.attempt,
        "cores": slot.cores,
        "cpus": list(slot.cpus),
        "memory": limits.memory,
        "disk": limits.disk,
        "gpus": [{"index": gpu.index, "uuid": gpu.uuid, "model": gpu.model, "memory": gpu.memory} for gpu in slot.gpus],
        "wall_time": limits.wall_time,
        "cpu_time": limits.cpu_time,
        "processes": limits.processes,
        "no_progress": limits.no_progress,
        "grace": lease.spec.grace,
    }
    return json.dumps(grant, indent=1) + "\n"
