"""How fast jobs are taken in, by HTTPS as a person submits them: `python -m bench.submission`.

Beside it, in the same rounds, bare inserts of as many small rows: SQLite's `executemany`, PostgreSQL's COPY.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from bench import centrals, load, report, samples, stores
from bench.samples import Cell, Meter, Sample
from bench.stores import Options, Place
from pilotage import Client

JOBS = 10_000
#: Distinct jobs of the second kind differ in what they need, so that each opens a queue of its own.
QUEUES = 1_000
GOAL = "≥ 20,000 jobs/s in a sweep, ≥ 5,000 distinct ones"
TABLE = "CREATE TABLE job (id bigint PRIMARY KEY, name text, state int, submitted double precision, spec text)"


def main() -> None:
    options = stores.options(__doc__ or "")
    with stores.place(options.stores) as place:
        stores.run(measure(place, options))


async def measure(place: Place, options: Options) -> None:
    async with AsyncExitStack() as stack:
        cells: list[Cell] = []
        for name in options.stores:
            cells += await ours(place, name, stack)
        if "sqlite" in options.stores:
            cells.append(Cell(("SQLite executemany", "bare rows"), bare_sqlite))
        if place.server:
            database = await asyncpg.connect(await place.server.make("bare_rows"))
            stack.push_async_callback(database.close)
            cells.append(Cell(("PostgreSQL COPY", "bare rows"), partial(bare_postgres, database, place.server.pid)))
        found = await samples.interleaved(cells, options.rounds, options.seconds)
    rows = [(*cell.names, *figures(of)) for cell, of in zip(cells, found, strict=True)]
    heads = ("store", f"{JOBS:,} jobs", "median jobs/s", "least", "most", "CPU ms/1,000 jobs: central", "database")
    report.table(f"Submission ({options.rounds} rounds)", heads, rows, GOAL)


async def ours(place: Place, name: str, stack: AsyncExitStack) -> list[Cell]:
    """A central without pilots: nothing of what is submitted runs meanwhile."""
    database = f"submission_{name}"
    central = centrals.make(place.folder / database, name, await place.url(name, database), load.plain(1, 1))
    stack.enter_context(centrals.running(central))
    client = stack.enter_context(Client.from_folder(central.folder))
    sweep = {"command": ["true", "{n}"], "name": "sweep", "sweep": {"n": f"1..{JOBS}"}}
    distinct = [{"command": ["true", str(n)], "name": f"job-{n}"} for n in range(JOBS)]
    needy = [{**job, "needs": {"memory": f"{1 + n % QUEUES} MB"}} for n, job in enumerate(distinct)]
    kinds: Sequence[tuple[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]] = (
        ("a sweep", sweep),
        ("distinct, one request", distinct),
        (f"distinct, in {QUEUES:,} queues", needy),
    )
    return [
        Cell((name, kind), partial(_submit, partial(client.submit, jobs), central.pid, place.pid(name)))
        for kind, jobs in kinds
    ]


async def _submit(submit: Callable[[], object], central: int, server: int | None, seconds: float) -> Sample:
    with Meter(server, central) as sample:
        await asyncio.to_thread(submit)
    sample.jobs = JOBS
    return sample


def figures(of: list[Sample]) -> tuple[str, ...]:
    jobs = sum(sample.jobs for sample in of)
    costs = (sum(sample.central for sample in of), sum(sample.database for sample in of))
    rates = report.spread([sample.rate for sample in of], ",.0f")
    return (*rates, *(f"{1e6 * cost / jobs:.0f}" if cost else "–" for cost in costs))


async def bare_sqlite(seconds: float) -> Sample:
    """One durable transaction of rows as small as a job's may be: no request, no check, no index but the key."""
    with tempfile.TemporaryDirectory() as folder, Meter(None) as sample:
        database = sqlite3.connect(Path(folder) / "floor.db")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(TABLE)
        with database:
            database.executemany("INSERT INTO job VALUES (?, ?, ?, ?, ?)", _rows())
        database.close()
    sample.jobs = JOBS
    return sample


async def bare_postgres(database: asyncpg.Connection, server: int, seconds: float) -> Sample:
    await database.execute("DROP TABLE IF EXISTS job")
    await database.execute(TABLE)
    with Meter(server) as sample:
        await database.copy_records_to_table("job", records=_rows())
    sample.jobs = JOBS
    return sample


def _rows() -> list[tuple[int, str, int, float, str]]:
    now = time.time()
    return [(n, f"job-{n}", 0, now, '{"command": ["true", "1"]}') for n in range(JOBS)]


if __name__ == "__main__":
    main()
