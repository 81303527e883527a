"""Group commit: one thread runs every verb that writes, and verbs that arrive together share a transaction.

A refusal undoes that verb alone. Hardly any verb is refused after it has changed something, so there are no savepoints,
which would cost as much as a verb does: where it happens the transaction begins anew, and there each verb has its own.
Each is answered only once the commit is on the disk. Nothing waits for company: when the thread is idle a verb is
committed at once; while a commit is under way the next ones gather.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

from central.store.sqlite.connection import closed, understood
from pilot.errors import Refusal

T = TypeVar("T")
P = ParamSpec("P")

log = logging.getLogger(__name__)

#: Verbs that share a commit at most, and seconds after which no further one joins: the first waits for the last.
BATCH = 256
BATCH_SECONDS = 0.05
#: Verbs that may wait for the writer before the next is refused.
QUEUED = 10_000


@dataclass(eq=False)
class _Work:
    """A verb on its way, and its answer."""

    verb: Callable[[sqlite3.Connection, float], Any]
    future: asyncio.Future[Any]
    answer: Any = None
    error: Exception | None = None
    alone: bool = False


class _HalfDone(Exception):
    """A verb was refused after it had changed something."""


class Writer:
    """The one that writes to a database. `commits` and `verbs` count what it has done."""

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.commits = 0
        self.verbs = 0
        self._database = database
        self._clock = clock
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._closed = False
        self._postponed: _Work | None = None
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def run(
        self, verb: Callable[Concatenate[sqlite3.Connection, float, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``verb(database, now, …)`` in the writer's thread; its answer comes when it is durable.

        Raises what the verb raises, and ``busy`` when too much waits, the disk is full, or the store is closed.
        """
        return await self._ask(lambda database, now: verb(database, now, *args, **kwargs), alone=False)

    async def run_alone(
        self, verb: Callable[Concatenate[sqlite3.Connection, float, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a verb that takes long: it has a transaction of its own, so that nobody who came before waits
        for it. Without checks of foreign keys, a third of its time: it must refer to nothing but what it has looked up.
        """
        return await self._ask(lambda database, now: verb(database, now, *args, **kwargs), alone=True)

    async def _ask(self, verb: Callable[[sqlite3.Connection, float], T], alone: bool) -> T:
        if self._closed:
            raise closed()
        if self._queue.qsize() >= QUEUED:
            raise Refusal("busy", f"{QUEUED:,} requests wait for the central's database.", retry_after=1.0)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Work(verb, future, alone=alone))
        return await future

    def close(self) -> None:
        """Finish what was asked for, and end the thread."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._database.close()

    def _serve(self) -> None:
        while (work := self._postponed or self._queue.get()) is not None:
            self._postponed = None
            batch = [work]
            try:
                self._transact(batch)
            except Exception as error:  # noqa: BLE001 - everybody in the batch is told; the thread must go on
                self._undo(batch, error)
            if work.alone:
                self._database.execute("PRAGMA foreign_keys = ON")
            _answer(batch)
        while (late := self._next()) is not None:
            late.error = closed()
            _answer([late])

    def _transact(self, batch: list[_Work]) -> None:
        """Run the verb in the batch and those that arrive meanwhile, then commit."""
        if batch[0].alone:
            self._database.execute("PRAGMA foreign_keys = OFF")
        self._database.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + BATCH_SECONDS
        run: Callable[[_Work], None] = self._run
        work: _Work | None = batch[0]
        while work is not None:
            try:
                run(work)
            except _HalfDone:
                self._begin_anew(batch)
                run = self._run_carefully
            if (work := self._company(batch, until)) is not None:
                batch.append(work)
        self._database.execute("COMMIT")
        self.commits += 1
        self.verbs += len(batch)

    def _begin_anew(self, batch: list[_Work]) -> None:
        """Undo everything, and do it again without those that were refused."""
        self._database.execute("ROLLBACK")
        self._database.execute("BEGIN IMMEDIATE")
        for work in batch:
            if work.error is None:
                self._run_carefully(work)

    def _run(self, work: _Work) -> None:
        """Run a verb. Raises `_HalfDone` when it was refused, and what it has changed is to be undone."""
        before = self._database.total_changes
        try:
            work.answer = work.verb(self._database, self._clock())
        except Exception as error:  # the verb's caller is told; the batch goes on
            if not self._database.in_transaction:  # SQLite has given up the whole transaction
                raise
            work.error = understood(error)
            if self._database.total_changes != before:
                raise _HalfDone from error

    def _run_carefully(self, work: _Work) -> None:
        """The same with a savepoint, to which it is undone."""
        self._database.execute("SAVEPOINT verb")
        try:
            work.answer = work.verb(self._database, self._clock())
        except Exception as error:  # the verb's caller is told; the batch goes on
            if not self._database.in_transaction:
                raise
            self._database.execute("ROLLBACK TO verb")
            work.error = understood(error)
        self._database.execute("RELEASE verb")

    def _company(self, batch: list[_Work], until: float) -> _Work | None:
        """Who else may be in the transaction, if somebody waits. One who must be alone comes next."""
        if batch[0].alone or len(batch) >= BATCH or time.monotonic() >= until:
            return None
        work = self._next()
        if work is not None and work.alone:
            self._postponed = work
            return None
        return work

    def _next(self) -> _Work | None:
        """What waits now, if anything; the mark of the end stays in the queue."""
        try:
            work = self._queue.get_nowait()
        except Empty:
            return None
        if work is None:
            self._queue.put(None)
        return work

    def _undo(self, batch: list[_Work], error: Exception) -> None:
        """Nothing of this batch was written: say so to all but those that were refused anyway."""
        log.error("a transaction of %d verbs failed and was undone: %s", len(batch), error)
        if self._database.in_transaction:
            try:
                self._database.execute("ROLLBACK")
            except sqlite3.Error as again:
                log.error("its rollback failed as well: %s", again)  # the next BEGIN will say what is the matter
        for work in batch:
            work.error = work.error or understood(error)


def _answer(batch: list[_Work]) -> None:
    """Wake each event loop once, whatever the number of its verbs."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Work]] = defaultdict(list)
    for work in batch:
        by_loop[work.future.get_loop()].append(work)
    for loop, works in by_loop.items():
        try:
            loop.call_soon_threadsafe(partial(_settle, works))
        except RuntimeError:  # that loop is closed: nobody waits any more
            log.info("%d verbs were done for somebody who has gone", len(works))


def _settle(works: list[_Work]) -> None:
    for work in works:
        if work.future.done():  # cancelled by a caller who went away; what it asked for is done all the same
            continue
        if work.error is not None:
            work.future.set_exception(work.error)
        else:
            work.future.set_result(work.answer)
