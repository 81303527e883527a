"""From power-on of a machine to its first match, by phase: `python -m bench.boot [nspawn|apart|qemu]` (as root).

Containers of `nspawn` have this host's network, where the way to a metadata service may neither be cut nor answer: the
guard waits for its time to be over. Those of `apart` have one of their own, in which it is told at once that there is
none, as it is on a machine that may cut the way. Needs the image that `tests/real/guests.sh KIND` makes, and
PILOTAGE_GUEST_IMAGES to say where it is.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench import report
from tests.real.guest_network import Cable, network
from tests.real.guest_scene import IMAGES, LITTLE
from tests.real.guest_system import Guesthouse, guesthouse
from tests.system import Plan, process_rows, wait_for

RUNS = 3
#: Seconds that one machine may take, emulated on a busy host.
PATIENCE = 600
JOB = {"command": ["sleep", "2"], "needs": LITTLE}


@dataclass(frozen=True)
class Boot:
    """Moments of one machine, in seconds since the epoch; None where they are not seen from outside."""

    ordered: float  # its provider was asked
    begun: float | None  # its init was started
    ready: float | None  # cloud-init has done what user-data says: the pilot's unit was started
    enrolled: float
    matched: float


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "nspawn"
    if not IMAGES:
        raise SystemExit("say in PILOTAGE_GUEST_IMAGES where the images are that tests/real/guests.sh makes")
    boots = [one_boot_apart() if kind == "apart" else one_boot(kind) for _ in range(RUNS)]
    phases = (
        ("ordered to init started", "ordered", "begun"),
        ("init started to pilot's unit started (systemd, cloud-init)", "begun", "ready"),
        ("unit started to enrolled (ours)", "ready", "enrolled"),
        ("enrolled to first match (ours)", "enrolled", "matched"),
        ("ordered to enrolled", "ordered", "enrolled"),
        ("ordered to first match", "ordered", "matched"),
    )
    rows = []
    for name, first, last in phases:
        seen = [(getattr(boot, first), getattr(boot, last)) for boot in boots]
        if all(None not in pair for pair in seen):
            rows.append((name, *report.spread([end - start for start, end in seen])))
    what = "nspawn, in a network of its own" if kind == "apart" else kind
    title = f"Boot of a machine of {what} (seconds, {RUNS} runs)"
    report.table(title, ("", "median", "least", "most"), rows, "ours ≤ 2 s on nspawn")


def one_boot_apart() -> Boot:
    """A container with a network of its own."""
    with network() as name:
        return one_boot("nspawn", name)


def one_boot(kind: str, name: str = "") -> Boot:
    """A machine that is started for a job, by a central of its own; in that network."""
    cloud = f'networks = ["{name}"]' if name else ""
    with (
        tempfile.TemporaryDirectory() as folder,
        guesthouse(Path(folder), kind, cloud=cloud, plan=Plan(idle="5 s")) as house,
        house.system.client() as client,
        closing(Cable(name, house.system.port)) if name else nullcontext(),
    ):
        [job] = client.submit([JOB]).ids
        [machine] = wait_for(house.machines, 60, "a machine")
        attempt = wait_for(lambda: client.attempts(job), PATIENCE, "a match")[0]
        begun, ready = _inside(house, machine.id) if kind == "nspawn" else (None, None)
        pilot = client.pilot(attempt.pilot).pilot
        assert pilot.enrolled
        assert machine.created
        client.wait([job], timeout=PATIENCE)
        return Boot(machine.created, begun, ready, pilot.enrolled, attempt.started)


def _inside(house: Guesthouse, id: str) -> tuple[float, float]:
    """When the init of a container was started, and its pilot's monitor, which is the unit's process still."""
    ours = {row.pid: row for row in process_rows() if id.encode() in _groups(row.pid)}
    monitors = [pid for pid, row in ours.items() if "run" in row.words and "pilot.json" in row.words]
    monitor = next(pid for pid in monitors if ours[pid].parent not in monitors)
    return report.started(ours[monitor].parent), report.started(monitor)


def _groups(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cgroup").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
