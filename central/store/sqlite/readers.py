"""Reading beside the writer: a few threads, each with its own connection and a snapshot for every verb.

What reads a handful of rows by their key is done at once, by the caller: handing it to a thread and back costs several
times what it does.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Concatenate, ParamSpec, TypeVar

from central.store.sqlite.connection import closed, understood

T = TypeVar("T")
P = ParamSpec("P")


class Readers:
    """As many threads as connections; more requests than that wait their turn. `own` is for what is done at once."""

    def __init__(self, databases: Sequence[sqlite3.Connection], own: sqlite3.Connection) -> None:
        self._databases = databases
        self._own = own
        self._closed = False
        self._free: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for database in databases:
            self._free.put(database)
        self._threads = ThreadPoolExecutor(len(databases), thread_name_prefix="store-reader")

    async def run(self, verb: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``verb(database, …)`` in a reader's thread; all that it reads is of one moment."""
        return await self.aside(self._read, lambda database: verb(database, *args, **kwargs))

    def at_once(self, verb: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``verb(database, …)`` here and now: for what reads a handful of rows by their key."""
        if self._closed:
            raise closed()
        return _reading(self._own, lambda database: verb(database, *args, **kwargs))

    def by_one(self, verb: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a verb of one statement, which is a transaction by itself."""
        if self._closed:
            raise closed()
        try:
            return verb(self._own, *args, **kwargs)
        except (sqlite3.Error, OverflowError) as error:
            raise understood(error) from error

    async def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call something that computes for long away from the event loop."""
        if self._closed:
            raise closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self._closed = True
        self._threads.shutdown()
        for database in (*self._databases, self._own):
            database.close()

    def _read(self, verb: Callable[[sqlite3.Connection], T]) -> T:
        database = self._free.get()
        try:
            return _reading(database, verb)
        finally:
            self._free.put(database)


def _reading(database: sqlite3.Connection, verb: Callable[[sqlite3.Connection], T]) -> T:
    """Call a verb in a transaction that reads. Raises what SQLite's errors mean."""
    try:
        database.execute("BEGIN")
        try:
            return verb(database)
        finally:
            if database.in_transaction:  # not so after an I/O error
                database.execute("COMMIT")
    except (sqlite3.Error, OverflowError) as error:
        raise understood(error) from error
