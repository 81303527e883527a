"""One way to measure, for all that are compared: rounds that take turns, CPU of both sides, latencies."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import report


@dataclass
class Sample:
    """What was done in one window. Seconds."""

    seconds: float = 0.0
    jobs: int = 0  # or whatever is counted
    central: float = 0.0  # CPU of the process that claims
    database: float = 0.0  # CPU of the server's processes
    latencies: list[float] = field(default_factory=list)  # of each request
    empty: int = 0  # requests that got nothing

    @property
    def rate(self) -> float:
        return self.jobs / self.seconds if self.seconds else 0.0


#: Runs for about so many seconds.
Run = Callable[[float], Awaitable[Sample]]


@dataclass(frozen=True)
class Cell:
    """One row of a table: what is measured, and how."""

    names: tuple[object, ...]
    run: Run


class Meter:
    """Measures a block: wall and CPU time. `database` is the process whose tree is the database; None: no such.
    `central` is the process that is measured, with its descendants unless `alone`; None: this one."""

    def __init__(self, database: int | None, central: int | None = None, *, alone: bool = False) -> None:
        self._database = database
        self._central = central
        self._alone = alone
        self.sample = Sample()

    def __enter__(self) -> Sample:
        self._before = self._cpu()
        self._begun = time.perf_counter()
        return self.sample

    def __exit__(self, *_: object) -> None:
        self.sample.seconds = time.perf_counter() - self._begun
        central, database = self._cpu()
        self.sample.central = central - self._before[0]
        self.sample.database = database - self._before[1]

    def _cpu(self) -> tuple[float, float]:
        if self._central is None:
            central = time.process_time()
        else:
            central = _used(self._central) if self._alone else tree_cpu(self._central)
        return central, tree_cpu(self._database) if self._database is not None else 0.0


async def interleaved(cells: Sequence[Cell], rounds: int, seconds: float) -> list[list[Sample]]:
    """Run every cell once a round, so that what else the machine does falls on all alike."""
    found: list[list[Sample]] = [[] for _ in cells]
    for _ in range(rounds):
        for cell, samples in zip(cells, found, strict=True):
            samples.append(await cell.run(seconds))
    return found


HEADS = ("median/s", "least", "most", "p50 ms", "p99 ms", "CPU ms each: process", "database", "both")


def figures(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The cells under `HEADS`."""
    rates = report.spread([sample.rate for sample in samples], ",.0f")
    latencies = [latency for sample in samples for latency in sample.latencies]
    jobs = sum(sample.jobs for sample in samples) or 1
    central = 1000 * sum(sample.central for sample in samples) / jobs
    database = 1000 * sum(sample.database for sample in samples) / jobs
    times = (f"{1000 * part(latencies, 0.5):.2f}", f"{1000 * part(latencies, 0.99):.2f}") if latencies else ("–", "–")
    return (*rates, *times, f"{central:.3f}", f"{database:.3f}" if database else "–", f"{central + database:.3f}")


def part(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def rate(samples: Sequence[Sample]) -> float:
    """The median of the rounds."""
    return statistics.median(sample.rate for sample in samples)


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """The median, over the rounds, of one rate divided by the other of the same round."""
    return statistics.median(a.rate / b.rate if b.rate else 0.0 for a, b in zip(ours, theirs, strict=True))


# -- CPU --------------------------------------------------------------------------------------------------------------


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and of all that descend from it, with those that ended and were waited for."""
    return sum(_used(process) for process in tree(pid))


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found, at = [pid], 0
    while at < len(found):
        try:
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            pass  # it has ended
        at += 1
    return found


def tree_pss(pid: int) -> float:
    """Proportional memory of a process and its descendants, MB of 1,000,000 bytes."""
    total = 0.0
    for process in tree(pid):
        try:
            total += report.memory(process).pss
        except (OSError, KeyError):
            continue
    return total


def _used(pid: int) -> float:
    """Exact for the threads that live, by the scheduler's counters; in ticks for its children that ended."""
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        own = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
        return own + report.cpu(pid).children
    except OSError:
        return 0.0
