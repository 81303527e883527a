"""What a queue costs at the least: a loop that claims rows and does nothing else, on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from pathlib import Path

import asyncpg

from bench.samples import Cell, Meter, Sample

ROWS = 1_000_000
#: With fewer than so many rows left the table is filled again, between measurements.
LOW = 300_000
QUEUES = 50

CREATE = """
    CREATE TABLE claimable (
        id bigint PRIMARY KEY, queue int NOT NULL, priority int NOT NULL, status int NOT NULL, attempt int NOT NULL,
        pilot int
    )
"""
INDEX = "CREATE INDEX claimable_waiting ON claimable (queue, priority DESC, id) WHERE status = 0"
FILL = f"INSERT INTO claimable SELECT n, n % {QUEUES}, 5, 0, 0, NULL FROM generate_series(1, $1::int) AS n"
CLAIM = """
    UPDATE claimable SET status = 1, attempt = attempt + 1, pilot = $2
    WHERE id IN (
        SELECT id FROM claimable WHERE queue = $1 AND status = 0 ORDER BY priority DESC, id LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
    RETURNING id, attempt
"""
FILL_SQLITE = f"""
    WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < ?)
    INSERT INTO claimable SELECT n, n % {QUEUES}, 5, 0, 0, NULL FROM series
"""
CLAIM_SQLITE = """
    UPDATE claimable SET status = 1, attempt = attempt + 1, pilot = ?2
    WHERE id IN (SELECT id FROM claimable WHERE queue = ?1 AND status = 0 ORDER BY priority DESC, id LIMIT ?3)
    RETURNING id, attempt
"""


class BarePostgres:
    """`UPDATE … FOR UPDATE SKIP LOCKED … RETURNING` over asyncpg: a prepared statement and a commit for each claim."""

    def __init__(self, url: str, server: int, connections: int) -> None:
        self._url = url
        self._server = server
        self._number = connections
        self._connections: list[asyncpg.Connection] = []
        self._left = 0

    async def open(self) -> None:
        self._connections = [await asyncpg.connect(self._url) for _ in range(self._number)]
        await self._connections[0].execute(CREATE)
        await self._connections[0].execute(INDEX)
        await self._refill()

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    def cell(self, workers: int, most: int) -> Cell:
        return Cell(("SKIP LOCKED loop", workers, most), partial(self._run, workers, most))

    async def _refill(self) -> None:
        first = self._connections[0]
        await first.execute("TRUNCATE claimable")
        await first.execute(FILL, ROWS)
        await first.execute("VACUUM ANALYZE claimable")
        self._left = ROWS

    async def _run(self, workers: int, most: int, seconds: float) -> Sample:
        if self._left < LOW:
            await self._refill()
        claims = [await connection.prepare(CLAIM) for connection in self._connections[:workers]]
        with Meter(self._server) as sample:
            until = time.perf_counter() + seconds
            await asyncio.gather(
                *(_claims(claim.fetch, worker, most, until, sample) for worker, claim in enumerate(claims))
            )
        self._left -= sample.jobs
        return sample


async def _claims(fetch, worker: int, most: int, until: float, sample: Sample) -> None:  # type: ignore[no-untyped-def]
    queue = worker
    while (begun := time.perf_counter()) < until:
        queue += 1
        rows = await fetch(queue % QUEUES, worker, most)
        sample.latencies.append(time.perf_counter() - begun)
        sample.jobs += len(rows)
        sample.empty += not rows


class BareSqlite:
    """One connection that claims and commits, as durable as ours: WAL, `synchronous = FULL`. More writers would only
    wait for each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._left = 0

    def open(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("PRAGMA cache_size = -65536")
        self._database.execute(CREATE)
        self._database.execute(INDEX)
        self._refill()

    def close(self) -> None:
        self._database.close()
        self._path.unlink()

    def cell(self, most: int) -> Cell:
        return Cell(("SQLite loop", 1, most), partial(self._run, most))

    def _refill(self) -> None:
        self._database.execute("BEGIN")
        self._database.execute("DELETE FROM claimable")
        self._database.execute(FILL_SQLITE, (ROWS,))
        self._database.execute("COMMIT")
        self._left = ROWS

    async def _run(self, most: int, seconds: float) -> Sample:
        if self._left < LOW:
            self._refill()
        queue = 0
        with Meter(None) as sample:
            until = time.perf_counter() + seconds
            while (begun := time.perf_counter()) < until:
                queue += 1
                self._database.execute("BEGIN IMMEDIATE")
                rows = self._database.execute(CLAIM_SQLITE, (queue % QUEUES, 1, most)).fetchall()
                self._database.execute("COMMIT")
                sample.latencies.append(time.perf_counter() - begun)
                sample.jobs += len(rows)
        self._left -= sample.jobs
        return sample
