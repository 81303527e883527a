"""A turn of every director: 200 queues, 100,000 pilots, in one process: `python -m bench.director_cycle`.

Over SQLite, with computing elements in memory: what a real one takes comes on top, for each queue by itself. The work
that waits is that of a production system (`--snapshot FOLDER` or PILOTAGE_BENCH_SNAPSHOT; else a generator with the
same totals).
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import load, report
from central.directors.board import Board, Wait
from central.directors.control import Limits
from central.directors.site import SiteDirector
from central.directors.waiting import waits
from central.elements.port import Standing
from central.matching.task_queues import TaskQueues
from central.records import TaskQueue, Waiting
from central.store.sqlite import SqliteStore
from pilot.protocol import Offer
from tests.director_scene import DUTY, Work, director
from tests.fake_element import FakeElement, FakeJob

QUEUES, PILOTS = 200, 100_000
TURNS = 3
#: Of a queue's pilots: those that wait in the batch queue, and those that are over and not cleared away.
WAITING, OVER = 0.1, 0.02
GOAL = "10 s for a turn of all 200, in one process; calls to a computing element that do not grow with its pilots"
_ROW = """
    INSERT INTO pilots (stamp, state, site, queue, communities, created, secret_hash, secret_expires, lease, enrolled,
                        last_seen, reference, leases, epoch)
    VALUES (?, ?, ?, ?, '["lhcb"]', ?, '', 1e12, 600, ?, ?, ?, ?, 1)
"""


class Counted:
    """A store that counts what it is asked."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.store, name)


class Offered(Work):
    """What a director is told of production's backlog."""

    def __init__(self, queues: TaskQueues, offer: Offer) -> None:
        super().__init__()
        self.queues = queues
        self.offer = offer

    async def waiting(self) -> Sequence[Wait]:
        return waits(self.queues.fitting(self.offer), self.offer, ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshot", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        asyncio.run(measure(Path(folder) / "central.db", load.production(options.snapshot)))


async def measure(path: Path, work: load.Load) -> None:
    store = SqliteStore(path, time.time)
    await store.open()
    elements = {f"queue-{number:03}": FakeElement(time.time) for number in range(QUEUES)}
    _fill(path, elements)
    queues = TaskQueues()
    queues.load(_waiting(work))
    board, counted = Board(), Counted(store)
    sites = work.offers
    directors = [
        director(
            counted,
            element,
            Offered(queues, sites[number % len(sites)]),
            Limits(slots=PILOTS // QUEUES + 20, per_cycle=10, cores=8),
            board=board,
            name=name,
        )
        for number, (name, element) in enumerate(elements.items())
    ]
    rows = [await _turn(number, store, directors, elements, counted) for number in range(1, TURNS + 1)]
    heads = ("turn", "seconds", "CPU s", "pilots followed", "submitted", "calls of the store", "lists", "other calls")
    report.table(f"A turn of {QUEUES} directors, {PILOTS:,} pilots ({work.about})", heads, rows, GOAL)
    await store.close()


async def _turn(
    number: int,
    store: SqliteStore,
    directors: Sequence[SiteDirector],
    elements: dict[str, FakeElement],
    counted: Counted,
) -> tuple[object, ...]:
    epoch = await store.lead(DUTY, "bench", 3600.0)
    assert epoch is not None
    counted.calls.clear()
    for element in elements.values():
        element.calls.clear()
    followed = sum(len(element.jobs) for element in elements.values())
    begun, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one.cycle(epoch) for one in directors))  # each is a loop of its own, in one process
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    calls: Counter[str] = Counter()
    for element in elements.values():
        calls.update(element.calls)
    sent = sum(one.decision.pilots for one in directors)
    others = ", ".join(f"{count:,} {verb}" for verb, count in sorted(calls.items()) if verb != "listing")
    asked = sum(counted.calls.values())
    return (
        number,
        f"{seconds:.1f}",
        f"{cpu:.1f}",
        f"{followed:,}",
        sent,
        f"{asked:,}",
        calls["listing"],
        others or "none",
    )


def _waiting(work: load.Load) -> list[Waiting]:
    """The backlog as the matcher loads it."""
    return [
        Waiting(
            TaskQueue(number, of.who.community, of.who.group, of.who.user, of.needs), {of.priority: of.jobs}, number
        )
        for number, of in enumerate(work.sweeps, 1)
    ]


def _fill(path: Path, elements: dict[str, FakeElement]) -> None:
    """Pilots in the journal and at their computing elements: running, waiting, and some that are over."""
    now, rows = time.time(), []
    each = PILOTS // QUEUES
    for place, (name, element) in enumerate(elements.items()):
        for number in range(each):
            stamp = f"{place * each + number:032x}"
            standing, state = Standing.RUNNING, "running"
            if number < each * WAITING:
                standing, state = Standing.QUEUED, "submitted"
            elif number < each * (WAITING + OVER):
                standing, state = Standing.ENDED, "done"
            called = None if state == "submitted" else now - 600
            element.jobs[str(number)] = FakeJob(stamp, "", now - 1200, standing, why="PENDING (Resources)")
            rows.append(
                (
                    stamp,
                    state,
                    "here",
                    name,
                    now - 1200,
                    called,
                    called and now,
                    str(number),
                    0 if called is None else 1,
                )
            )
        element.numbers = each
    database = sqlite3.connect(path)
    with database:
        database.executemany(_ROW, rows)
    database.close()


if __name__ == "__main__":
    main()
