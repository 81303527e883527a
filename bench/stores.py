"""The stores that are measured, empty and opened, each under its own name."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from bench import cluster
from bench.cluster import Cluster
from central.store.port import Store
from central.store.sqlite import SqliteStore

T = TypeVar("T")
NAMES = ("sqlite", "postgres")


@dataclass(frozen=True)
class Options:
    """What every measurement of the queue understands on its command line."""

    full: bool
    load: str
    stores: tuple[str, ...]
    snapshot: Path | None
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Place:
    """Where stores are made: a folder, and a server if PostgreSQL is measured."""

    folder: Path
    server: Cluster | None

    def pid(self, name: str) -> int | None:
        """The process whose tree is the database of that store; None: it is in the process that uses it."""
        return self.server.pid if name == "postgres" and self.server else None

    async def url(self, name: str, database: str) -> str:
        """Make an empty database; where it is, as a central's settings say it."""
        if name == "postgres":
            assert self.server
            return await self.server.make(database)
        return str(self.folder / f"{database}.db")

    @asynccontextmanager
    async def store(self, name: str, database: str) -> AsyncIterator[Store]:
        """An empty store, opened; what it kept is gone afterwards."""
        where = await self.url(name, database)
        store = at(name, where)
        await store.open()
        try:
            yield store
        finally:
            await store.close()
            if name == "sqlite":
                _remove(where)

    async def settle(self, name: str, database: str) -> None:
        """After it was filled."""
        if name == "postgres":
            assert self.server
            await self.server.settle(database)


def _remove(database: str) -> None:
    for ending in ("", "-wal", "-shm"):
        Path(database + ending).unlink(missing_ok=True)


def at(name: str, where: str) -> Store:
    """The store there, not opened."""
    if name == "postgres":
        from central.store.postgres import PostgresStore

        return PostgresStore(where)
    return SqliteStore(Path(where))


def options(about: str, rounds: int = 3, seconds: float = 1.0, load: str = "production") -> Options:
    """Read the command line. `load` is the one, or both, where nobody asks for another."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--full", action="store_true", help="up to 10,000,000 jobs, which takes long")
    parser.add_argument(
        "--load", choices=("production", "hostile", "both"), default=load, help="of queue_engine, queue_https"
    )
    parser.add_argument("--store", choices=(*NAMES, "both"), default="both")
    parser.add_argument("--snapshot", type=Path, help="the folder with the files of the production snapshot")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each window")
    given = parser.parse_args()
    wanted = NAMES if given.store == "both" else (given.store,)
    return Options(given.full, given.load, available(wanted), given.snapshot, given.rounds, given.seconds)


def available(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those that can be measured here; says which cannot, and why."""
    if "postgres" not in wanted:
        return wanted
    if cluster.programs() is None:
        print("PostgreSQL is left out: its server (initdb) is not installed here.")
    elif importlib.util.find_spec("central.store.postgres") is None:
        print("PostgreSQL is left out: there is no store for it.")
    else:
        return wanted
    return tuple(name for name in wanted if name != "postgres")


@contextmanager
def place(names: tuple[str, ...]) -> Iterator[Place]:
    """A folder, and a server when one is needed, for as long as the block lasts."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers end and folders go then as well
    folder = Path(tempfile.mkdtemp(prefix="pilotage-bench-"))
    try:
        if "postgres" in names:
            with cluster.running() as server:
                yield Place(folder, server)
        else:
            yield Place(folder, None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """In the event loop that the central uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
