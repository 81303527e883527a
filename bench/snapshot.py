"""The waiting work of a production system at one moment: how many jobs wait in each queue, and where they may run.

The files are read when the measurement is given their folder (`--snapshot`, or the variable below); without them the
numbers come from a generator with the same totals: 871,973 jobs in 501 queues, 60 sites.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Names the folder with the files of a snapshot.
VARIABLE = "PILOTAGE_BENCH_SNAPSHOT"
JOBS, QUEUES = 871_973, 501
#: Queues (out of 501) by what a node must be: architecture, least micro-architecture level, least glibc.
PLATFORMS: tuple[tuple[int, str | None, int | None, tuple[int, int] | None], ...] = (
    (250, "x86_64", 2, (2, 17)),
    (46, "x86_64", 3, (2, 34)),
    (9, "x86_64", 2, (2, 34)),
    (7, "x86_64", 1, (2, 12)),
    (178, "aarch64", None, (2, 34)),
    (11, None, None, None),
)


@dataclass(frozen=True)
class Backlog:
    """One queue: seconds of normalised CPU time that its jobs ask for, the group, the jobs."""

    cpu_time: int
    group: str
    jobs: int


@dataclass(frozen=True)
class Snapshot:
    """What was waiting. `sites` tells how many of the queues may run at each; `bans` are sites that a queue refuses."""

    origin: str
    queues: tuple[Backlog, ...]
    sites: dict[str, int]
    bans: tuple[str, ...]

    @property
    def everywhere(self) -> int:
        """Queues that nearly every site may take."""
        return sorted(self.sites.values())[len(self.sites) // 2]


def read(folder: Path | None) -> Snapshot:
    """The snapshot in this folder, or in the one that the environment names, or the generated one."""
    folder = folder or (Path(named) if (named := os.environ.get(VARIABLE)) else None)
    if folder is None:
        return generated()
    queues = tuple(
        Backlog(int(row["CPUTime"]), row["OwnerGroup"], int(row["n_jobs"])) for row in _rows(folder / "jobs_per_tq.csv")
    )
    overview = next(_rows(folder / "scale_overview.csv"))
    missing = int(overview["total_tqs"]) - len(queues), int(overview["waiting_jobs"]) - sum(q.jobs for q in queues)
    sites = {row["site"]: int(row["n_tqs"]) for row in _rows(folder / "site_distribution.csv")}
    bans = tuple(row["banned_site"] for row in _rows(folder / "banned_sites.csv") if row["banned_site"] in sites)
    return Snapshot("read from its files", (*queues, *_rest(*missing)), sites, bans)


def generated() -> Snapshot:
    """As many jobs, queues and sites, of much the same sizes."""
    sizes = [1] * 37 + [5] * 42 + [39] * 52 + [422] * 131
    large = QUEUES - len(sizes)
    each, over = divmod(JOBS - sum(sizes), large)
    sizes += [each + (n < over) for n in range(large)]
    segments = (21600, 86400, 172800, 259200, 259200, 345600, 691200, 1080000, 1080000, 1080000)
    groups = ("mc", "mc", "mc", "mc", "mc", "mc", "data", "data", "data", "data")
    queues = tuple(
        Backlog(segments[n * 7 % 10], groups[n * 3 % 10] if n else "users", size) for n, size in enumerate(sizes)
    )
    sites = {f"site{n:02}": (368, 304, 300, 297)[n] if n < 4 else 284 - n // 3 for n in range(60)}
    return Snapshot("generated with the totals of the snapshot", queues, sites, ("site01", "site03"))


def _rest(queues: int, jobs: int) -> Iterator[Backlog]:
    """Queues that the totals count and the list lacks."""
    for number in range(queues):
        yield Backlog(86400, "users", jobs // queues + (number < jobs % queues))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)
