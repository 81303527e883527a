"""A turn of the directors of a cloud with 10,000 live machines, in one process: `python -m bench.cloud_cycle`.

Over SQLite and a cloud in memory: what a real one takes comes on top. Once all machines are of one queue, once of ten
in one account, each of whose directors reads the account's whole list. Of the machines some boot, and some have halted
when their pilots had ended: a turn fetches their consoles, deletes them, and starts what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import report
from bench.director_cycle import Counted
from central.clouds.element import CloudElement, Order
from central.clouds.fake import FakeCloud
from central.clouds.port import Intent
from central.configuration.elements import Cloud
from central.directors.board import Board, Wait
from central.directors.control import Limits
from central.directors.site import SiteDirector
from central.store.sqlite import SqliteStore
from tests.director_scene import DUTY, Work, director
from tests.user_data import boot
from wrappers.user_data.model import Boot

MACHINES, TURNS, CENTRAL = 10_000, 3, "0000aaaa"
#: Of a hundred machines: those that boot, and those that are off.
BOOTING, OFF = 5, 1
STARTED, AGE, DEADLINE = 10, 7200.0, 1800.0
HEADS = ("turn", "seconds", "CPU s", "machines listed", "started", "deleted", "calls of the store", "of the cloud")
GOAL = "10 s for a turn of all, in one process"
_ROW = """
    INSERT INTO pilots (stamp, state, site, queue, communities, created, secret_hash, secret_expires, lease, enrolled,
                        last_seen, ended, reason, reference, leases, epoch)
    VALUES (?, ?, 'cloud', ?, '["atlas"]', ?, '', ?, 600, ?, ?, ?, ?, ?, ?, 1)
"""


class Place:
    """The account, its queues and their directors."""

    def __init__(self, path: Path, queues: int) -> None:
        self.path = path
        self.queues = [f"flavor-{number}" for number in range(queues)]
        self.cloud = FakeCloud(time.time, random.Random(1))
        self.store = SqliteStore(path, time.time)
        self.counted = Counted(self.store)

    def directors(self) -> list[SiteDirector]:
        board, limits = Board(), Limits(MACHINES // len(self.queues) + 100, STARTED, 8)
        return [
            director(
                self.counted,
                CloudElement(
                    self.cloud.provider(CENTRAL),
                    Order(queue, Cloud("large", "plain"), self.boot, lambda: self.queues),
                ),
                Work([Wait(number, 10_000, 1.0)]),
                limits,
                board=board,
                name=queue,
                secret_ttl=DEADLINE,
                machines=True,
            )
            for number, queue in enumerate(self.queues)
        ]

    def boot(self, stamp: str, secret: str) -> Boot:
        return boot({"stamp": stamp}, secret=secret)

    def fill(self) -> None:
        """Machines in the cloud, and their pilots in the journal."""
        now, rows = time.time(), []
        for number in range(MACHINES):
            queue, kind = self.queues[number % len(self.queues)], number // len(self.queues) % 100
            intent = Intent(f"{number:032x}", queue, "large", "plain", b"")
            machine = self.cloud.start(CENTRAL, intent)
            created = now - (60.0 if kind < BOOTING else AGE)
            machine.created, machine.up = created, created + (600.0 if kind < BOOTING else 40.0)
            off = BOOTING <= kind < BOOTING + OFF
            if off:
                machine.off = now - 60.0
            enrolled = None if kind < BOOTING else created + 60.0
            rows.append(
                (
                    intent.stamp,
                    "submitted" if enrolled is None else "done" if off else "running",
                    queue,
                    created,
                    created + DEADLINE,
                    enrolled,
                    enrolled and now - 60.0,
                    now - 60.0 if off else None,
                    "idle" if off else None,
                    machine.id,
                    0 if enrolled is None else 5,
                )
            )
        database = sqlite3.connect(self.path)
        with database:
            database.executemany(_ROW, rows)
        database.close()


def main() -> None:
    logging.getLogger("central").setLevel(logging.ERROR)
    for queues in (1, 10):
        with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
            rows = asyncio.run(measure(Place(Path(folder) / "central.db", queues)))
        named = "one queue" if queues == 1 else f"{queues} queues of one account"
        report.table(f"A turn over {MACHINES:,} live machines of {named}", HEADS, rows, GOAL)


async def measure(place: Place) -> list[tuple[object, ...]]:
    await place.store.open()
    place.fill()
    directors = place.directors()
    rows = [await _turn(number, place, directors) for number in range(1, TURNS + 1)]
    await place.store.close()
    return rows


async def _turn(number: int, place: Place, directors: Sequence[SiteDirector]) -> tuple[object, ...]:
    epoch = await place.store.lead(DUTY, "bench", 3600.0)
    assert epoch is not None
    cloud = place.cloud
    place.counted.calls.clear()
    cloud.calls.clear()
    listed, deleted = sum(1 for _ in cloud.there()), len(cloud.deleted)
    started = len(cloud.machines)
    begun, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one.cycle(epoch) for one in directors))  # each is a loop of its own, in one process
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    calls = ", ".join(f"{count:,} {verb}" for verb, count in sorted(cloud.calls.items()))
    return (
        number,
        f"{seconds:.1f}",
        f"{cpu:.1f}",
        f"{listed:,}",
        len(cloud.machines) - started,
        len(cloud.deleted) - deleted,
        f"{sum(place.counted.calls.values()):,}",
        calls,
    )


if __name__ == "__main__":
    main()
