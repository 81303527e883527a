"""What a Python user would pick instead: pgqueuer, with jobs that do nothing.

It is no dependency of Pilotage: `pip install pgqueuer` into the environment, or the measurements leave it out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg

from bench.samples import Cell, Meter, Sample

ENTRYPOINT = "nothing"
#: Jobs put into the queue at once, and kept in it at the start of every window.
CHUNK = 10_000
BACKLOG = 30_000


def installed() -> bool:
    return importlib.util.find_spec("pgqueuer") is not None


class PgQueuer:
    """So many of its queue managers in this process, each with a connection of its own. A job is claimed, run, and
    logged as successful, as pgqueuer does it, in batches of the given size."""

    def __init__(self, url: str, server: int) -> None:
        self._url = url
        self._server = server
        self._queries: Any

    async def open(self) -> None:
        from pgqueuer import AsyncpgDriver, Queries

        logging.getLogger("pgqueuer").setLevel(logging.ERROR)
        self._connection = await asyncpg.connect(self._url)
        self._queries = Queries(AsyncpgDriver(self._connection))
        await self._queries.install()

    async def close(self) -> None:
        await self._connection.close()

    def cell(self, workers: int, batch: int) -> Cell:
        return Cell(("pgqueuer", workers, batch), partial(self._run, workers, batch))

    async def _refill(self) -> None:
        await self._queries.clear_queue()
        for _ in range(0, BACKLOG, CHUNK):
            await self._queries.enqueue([ENTRYPOINT] * CHUNK, [None] * CHUNK, [0] * CHUNK)
        await self._connection.execute("VACUUM ANALYZE")

    async def _run(self, workers: int, batch: int, seconds: float) -> Sample:
        from pgqueuer import AsyncpgDriver, Queries, QueueManager

        await self._refill()
        done = _Done(BACKLOG)
        managers: list[Any] = []
        connections = [await asyncpg.connect(self._url) for _ in range(workers)]
        for connection in connections:
            manager = QueueManager(Queries(AsyncpgDriver(connection)))

            @manager.entrypoint(ENTRYPOINT)
            async def nothing(job: object) -> None:
                done.one()

            managers.append(manager)
        with Meter(self._server) as sample:
            running = [
                asyncio.create_task(manager.run(batch_size=batch, log_aggregation_interval=timedelta(0)))
                for manager in managers
            ]
            await done.worked(seconds)
            for manager in managers:
                manager.shutdown.set()
            await asyncio.gather(*running)
        for connection in connections:
            await connection.close()
        sample.jobs = done.number
        sample.seconds = done.last - done.first  # without its start and its end
        return sample


class _Done:
    """How many jobs were done, from when to when."""

    def __init__(self, most: int) -> None:
        self.number = 0
        self.first = self.last = 0.0
        self._most = most
        self._begun, self._all = asyncio.Event(), asyncio.Event()

    def one(self) -> None:
        self.last = time.perf_counter()
        self.number += 1
        if self.number == 1:
            self.first = self.last
            self._begun.set()
        if self.number == self._most:
            self._all.set()

    async def worked(self, seconds: float) -> None:
        """Wait so many seconds from the first job on, or until all are done."""
        await self._begun.wait()
        try:
            await asyncio.wait_for(self._all.wait(), seconds)
        except TimeoutError:
            pass
