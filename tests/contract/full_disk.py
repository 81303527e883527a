"""A store on a disk that fills up while jobs run; `test_store_sqlite.py` runs this as a process of its own.

For a while no file of the process may grow beyond a bound, which is to SQLite what a full disk is. Prints as JSON what
was answered meanwhile, and what the file has when it is opened anew.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from central.records import Leased, Pick
from central.store.sqlite import SqliteStore
from pilot.errors import Refusal
from tests.contract.stores import Worker, enrol, queue_of, submit

T = TypeVar("T")

JOBS = 400
ROOM = 60_000  # bytes


def fill(folder: Path) -> None:
    """Leave little room for files to grow."""
    bound(max(path.stat().st_size for path in folder.iterdir()) + ROOM)


def bound(size: int) -> None:
    """Let files grow to so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


class Disk:
    """Verbs asked on a full disk: what was refused is asked again when there is room."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.full = False

    async def tried(self, verb: Callable[[], Awaitable[T]]) -> T:
        try:
            return await verb()
        except Refusal as refusal:
            self.refusals.append(refusal.type)
        for _ in range(5):  # it stays full, and the store stays alive
            try:
                return await verb()
            except Refusal as refusal:
                self.refusals.append(refusal.type)
        self.full = True
        bound(resource.RLIM_INFINITY)
        return await verb()


async def finish(worker: Worker, leased: Leased, disk: Disk) -> None:
    await disk.tried(lambda: worker.running(leased))
    await disk.tried(lambda: worker.ended(leased))


async def run(folder: Path) -> dict[str, object]:
    store = SqliteStore(folder / "central.db")
    await store.open()
    jobs = await submit(store, JOBS)
    queue = await queue_of(store, jobs[0])
    worker = await enrol(store)
    disk = Disk()
    done: list[int] = []
    bounds = [True, True, True]  # the disk fills up so often
    while True:
        if bounds and not len(done) % 100:
            bounds.pop()
            fill(folder)
        worker.number += 1
        claim = await disk.tried(partial(store.claim, worker.stamp, 1, worker.number, [Pick(queue, 1, 1)]))
        if not claim.leases:
            break
        await finish(worker, claim.leases[0], disk)
        done.append(claim.leases[0].job)
    fill(folder)
    many = await asyncio.gather(*(submit(store, 900) for _ in range(160)), return_exceptions=True)
    bound(resource.RLIM_INFINITY)
    added = [answer for answer in many if isinstance(answer, list)]
    refused = [answer for answer in many if isinstance(answer, Refusal)]
    await store.close()
    again = SqliteStore(folder / "central.db")
    await again.open()
    attempts = [await again.attempts(None, job) for job in jobs]
    (used,) = await again.usage(None, by=(), since=0.0, until=1e12, span=None)
    found = {
        "done": done == jobs,
        "refusals": sorted(set(disk.refusals)),
        "was full": disk.full,
        "attempts": sorted({len(each) for each in attempts}),
        "phases": sorted({event.phase for each in attempts for one in each for event in one.history}),
        "accounted": used.attempts,
        "counts": (await again.counts())["jobs"],
        "added": sum(len(one) for one in added),
        "answered": len(added) + len(refused) == len(many),
        "refused": sorted({one.type for one in refused}),
    }
    await again.close()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(Path(sys.argv[1])))))
