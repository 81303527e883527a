"""How many heartbeats the engine takes: heard in memory, written to the store in batches: `python -m bench.heartbeats`.

Signed heartbeats over HTTPS are in `bench.queue_https`. Beside ours: bare updates on the same databases, in
batches as large.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from contextlib import AsyncExitStack
from functools import partial

import asyncpg

from bench import report, samples, stores
from bench.samples import Cell, Meter, Sample
from bench.stores import Options, Place
from central.clock import SystemClock
from central.fleet.presence import BATCH, Presence
from central.records import NewPilot
from central.store.port import Store
from pilot.protocol import EnrolRequest

PILOTS = 10_000
FAR = 1e6
GOAL = "≥ 20,000/s in the engine"
CREATE = "CREATE TABLE bare_beats (pilot bigint PRIMARY KEY, seen double precision NOT NULL, sequence bigint NOT NULL)"


class Heard:
    """A store with many pilots, whose heartbeats come in as fast as they are written down."""

    def __init__(self, name: str, store: Store, server: int | None) -> None:
        self._name = name
        self._store = store
        self._server = server
        self._stamps: list[str] = []
        self._sequence = 0
        self._presence = Presence(SystemClock().now)

    async def open(self) -> None:
        epoch = await self._store.lead("bench", "bench", FAR)
        assert epoch is not None
        numbers = range(PILOTS)
        for first in range(0, PILOTS, 200):  # many at once share a commit
            await asyncio.gather(*(self._enrol(number, epoch) for number in numbers[first : first + 200]))

    async def _enrol(self, number: int, epoch: int) -> None:
        stamp, secret = f"{number:032x}", hashlib.sha256(str(number).encode()).hexdigest()
        await self._store.plan_pilot(NewPilot(stamp, "here", "ce", ("lhcb",), secret, FAR, 86_400, None))
        await self._store.submitting(stamp, "bench", epoch)
        await self._store.enrol(stamp, secret, secret, EnrolRequest("secret", "key", "1"))
        self._stamps.append(stamp)

    def cell(self) -> Cell:
        return Cell((self._name, "heartbeats"), self._run)

    async def _run(self, seconds: float) -> Sample:
        with Meter(self._server) as sample:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                self._sequence += 1
                for stamp in self._stamps:
                    self._presence.touch(stamp, epoch=1, sequence=self._sequence, usage={})
                begun = time.perf_counter()
                sample.jobs += await self._presence.flush(self._store)
                sample.latencies.append(time.perf_counter() - begun)
        return sample


def main() -> None:
    options = stores.options(__doc__ or "", seconds=1.5)
    with stores.place(options.stores) as place:
        stores.run(measure(place, options))


async def measure(place: Place, options: Options) -> None:
    async with AsyncExitStack() as stack:
        cells = []
        for name in options.stores:
            heard = Heard(name, await stack.enter_async_context(place.store(name, f"beats_{name}")), place.pid(name))
            await heard.open()
            cells.append(heard.cell())
        if "sqlite" in options.stores:
            cells.append(await bare_sqlite(place, stack))
        if place.server:
            cells.append(await bare_postgres(place, stack))
        found = await samples.interleaved(cells, options.rounds, options.seconds)
    rows = [(*cell.names, *samples.figures(of)) for cell, of in zip(cells, found, strict=True)]
    title = f"Heartbeats of {PILOTS:,} pilots in the engine ({options.rounds} rounds of {options.seconds:g} s)"
    report.table(f"{title}; latencies are of a flush", ("store", "what", *samples.HEADS), rows, GOAL)


async def bare_postgres(place: Place, stack: AsyncExitStack) -> Cell:
    assert place.server
    database = await asyncpg.connect(await place.server.make("bare_beats"))
    stack.push_async_callback(database.close)
    await database.execute(CREATE)
    await database.execute("INSERT INTO bare_beats SELECT n, 0, 0 FROM generate_series(1, $1::int) AS n", PILOTS)
    pid = place.server.pid

    async def run(seconds: float) -> Sample:
        with Meter(pid) as sample:
            until = time.perf_counter() + seconds
            while (now := time.perf_counter()) < until:
                first = sample.jobs % PILOTS + 1
                await database.execute(
                    "UPDATE bare_beats SET seen = $1, sequence = sequence + 1 FROM unnest($2::bigint[]) AS n"
                    " WHERE pilot = n",
                    now,
                    list(range(first, first + BATCH)),
                )
                sample.latencies.append(time.perf_counter() - now)
                sample.jobs += BATCH
        return sample

    return Cell(("postgres", f"bare updates, {BATCH:,} a commit"), run)


async def bare_sqlite(place: Place, stack: AsyncExitStack) -> Cell:
    database = sqlite3.connect(place.folder / "bare_beats.db", isolation_level=None)
    stack.callback(database.close)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(CREATE)
    database.execute("BEGIN")
    database.executemany("INSERT INTO bare_beats VALUES (?, 0, 0)", ((n,) for n in range(1, PILOTS + 1)))
    database.execute("COMMIT")
    return Cell(("sqlite", f"bare updates, {BATCH:,} a commit"), partial(_bare_sqlite, database))


async def _bare_sqlite(database: sqlite3.Connection, seconds: float) -> Sample:
    with Meter(None) as sample:
        until = time.perf_counter() + seconds
        while (now := time.perf_counter()) < until:
            first = sample.jobs % PILOTS + 1
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "UPDATE bare_beats SET seen = ?, sequence = sequence + 1 WHERE pilot = ?",
                ((now, number) for number in range(first, first + BATCH)),
            )
            database.execute("COMMIT")
            sample.latencies.append(time.perf_counter() - now)
            sample.jobs += BATCH
    return sample


if __name__ == "__main__":
    main()
