"""How long a pilot takes to find out where it is, probe by probe and all at once: `python -m bench.detection`."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import report
from pilot.node import Declared, Discovery, power
from pilot.node.machine import this_machine
from pilot.node.probes import Probe, run_probes

RUNS = 7
#: What somebody would ask instead, for less.
BY_HAND = ("sh", "-c", "nproc; cat /proc/meminfo /proc/cpuinfo /etc/os-release; df -P .; uname -a; nvidia-smi -L")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        looks = [Discovery(this_machine(), Path(folder), Declared(), time.monotonic()) for _ in range(RUNS)]
        rows = [row(name, [_alone(look, name) for look in looks]) for name in _names(looks[0])]
        rows.append(row("all at once", [lambda look=look: look.facts() for look in looks]))  # type: ignore[misc]
        rows.append(row("the doctor, a process of its own", [_doctor] * RUNS))
        rows.append(row("by hand, for comparison", [_by_hand] * RUNS))
        measure = [lambda: power.Power(power.node(this_machine()), None, power.run_benchmark).find()] * 3
        rows.append(row("power of a core, beside the work", measure))
    heads = ("probe", "median ms", "least", "most", "CPU ms")
    report.table(f"Detection ({RUNS} runs)", heads, rows, "all at once ≤ 1 s outside a cloud")


def _names(look: Discovery) -> list[str]:
    return [probe.name for probe in look.probes()]


def _alone(look: Discovery, name: str) -> Callable[[], object]:
    """One probe by itself, with the thread that it runs in."""
    probes: list[Probe] = [probe for probe in look.probes() if probe.name == name]
    return lambda: run_probes(probes)


def _doctor() -> None:
    subprocess.run([sys.executable, "-m", "pilot", "doctor", "--json"], capture_output=True, check=True)


def _by_hand() -> None:
    subprocess.run(BY_HAND, capture_output=True)


def row(name: str, calls: Sequence[Callable[[], object]]) -> tuple[str, ...]:
    """Milliseconds of wall time, and of CPU time with that of children, for each call."""
    walls, cpus = [], []
    for call in calls:
        wall, cpu = time.perf_counter(), _cpu()
        call()
        walls.append((time.perf_counter() - wall) * 1000)
        cpus.append((_cpu() - cpu) * 1000)
    return name, *report.spread(walls, ".1f"), f"{statistics.median(cpus):.1f}"


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
