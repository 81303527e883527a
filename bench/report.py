"""What all measurements share: tables, medians, the machine's name, and what /proc says of a process."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system import Plan, System, running_system

TICKS = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"  # state of a connection in /proc/net/tcp


@dataclass(frozen=True)
class Cpu:
    """CPU seconds, user and system: of a process itself, and of its children that have ended and were waited for."""

    own: float
    children: float

    def __sub__(self, before: Cpu) -> Cpu:
        return Cpu(self.own - before.own, self.children - before.children)


@dataclass(frozen=True)
class Memory:
    """Resident and proportional (shared pages divided by their users) memory of a process, in MB of 1,000,000 bytes."""

    rss: float
    pss: float


def machine() -> str:
    """Cores, CPU model, kernel and Python, and how busy the machine was with other work just before."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return (
        f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], goal: str = "") -> None:
    """Print a Markdown table under its title, with the machine and, if there is one, the goal."""
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    printed = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    print(f"\n## {title}\n\n{machine()}\n", *([f"Goal: {goal}\n"] if goal else []), sep="\n")
    print(printed[0], rule, *printed[1:], sep="\n", flush=True)


def spread(values: Sequence[float], form: str = ".2f") -> tuple[str, str, str]:
    """Median, least and greatest, written."""
    return tuple(format(value, form) for value in (statistics.median(values), min(values), max(values)))  # type: ignore[return-value]


def cpu(pid: int) -> Cpu:
    """What a process has used until now."""
    fields = _stat(pid)
    return Cpu((int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS)


def started(pid: int) -> float:
    """When a process was started, in seconds since the epoch, to a hundredth."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(_stat(pid)[19]) / TICKS


def memory(pid: int) -> Memory:
    """What a process holds now."""
    kilobytes = {
        line.split(":")[0]: int(line.split()[1])
        for line in _lines(f"/proc/{pid}/smaps_rollup")
        if line.startswith(("Rss:", "Pss:"))
    }
    return Memory(kilobytes["Rss"] * 1024 / 1e6, kilobytes["Pss"] * 1024 / 1e6)


def connections(pid: int) -> int:
    """Established TCP connections of a process."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(entry))
        except OSError:
            continue  # closed meanwhile
    rows = [line.split() for name in ("tcp", "tcp6") for line in _lines(f"/proc/{pid}/net/{name}")[1:]]
    return sum(1 for row in rows if row[3] == ESTABLISHED and f"socket:[{row[9]}]" in sockets)


@contextmanager
def fresh_system(plan: Plan) -> Iterator[System]:
    """A central with its director and pilots in a folder of its own, gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder,
        running_system(Path(folder) / "central", plan) as s,
    ):
        yield s


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, a name, may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
