"""How verbs become transactions: each once, or again when the database was in the way.

A verb that finds the connection broken, the server restarting, or another transaction in its way is tried again a few
times. Only a connection that breaks during the commit leaves the outcome unknown: then `repeat` tries again, for verbs
that are harmless to repeat, and `run` says so.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from central.store.postgres.connection import clash, closed, gone, understood, unsure
from pilot.errors import Refusal

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Pool

T = TypeVar("T")
P = ParamSpec("P")

log = logging.getLogger(__name__)

#: Seconds before each further try; a server that restarts is back within the last of them, or the caller is told.
PAUSES = (0.02, 0.1, 0.3, 1.0)
#: Verbs that may be under way or wait for a connection before the next is refused.
QUEUED = 10_000

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


class _Unsure(Exception):
    """The connection broke while the commit was under way."""


class Transactions:
    """Runs verbs on the connections of a pool. `commits` and `verbs` count what was made durable.

    `clock` stands in for the server's; None: the server's own. `doubtful` is called after a commit whose outcome was
    unknown: whoever counts by the answers of verbs may have missed one.
    """

    def __init__(self, pool: Pool, clock: Callable[[], float] | None, doubtful: Callable[[], None]) -> None:
        self.commits = 0
        self.verbs = 0
        self._pool = pool
        self._clock = clock
        self._doubtful = doubtful
        self._closed = False
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(
        self, verb: Callable[Concatenate[Database, float, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``verb(db, now, …)`` in a transaction; its answer comes when it is durable.

        Raises what the verb raises, ``busy`` when the database is away or the store is closed, and ``busy`` with
        another sentence when nobody knows whether it was done.
        """
        return await self._kept(self._tried(lambda: self._once(lambda db, now: verb(db, now, *args, **kwargs)), False))

    async def repeat(
        self, verb: Callable[Concatenate[Database, float, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a verb that may be done twice: the second time finds its work done."""
        return await self._kept(self._tried(lambda: self._once(lambda db, now: verb(db, now, *args, **kwargs)), True))

    async def untimed(
        self, verb: Callable[Concatenate[Database, float | None, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a verb that asks for the server's time itself, with other things: it is given the time that
        stands in for it, or None."""
        now = None if self._clock is None else self._clock()
        return await self._kept(self._tried(lambda: self._written(lambda db: verb(db, now, *args, **kwargs)), True))

    async def alone(
        self, verb: Callable[Concatenate[Database, float | None, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a verb whose last statement that writes is all it writes, and commits by itself: no BEGIN and no
        COMMIT. It is given the time that stands in for the server's, or None."""
        return await self._kept(self._tried(lambda: self._single(lambda db, now: verb(db, now, *args, **kwargs)), True))

    async def read(
        self, verb: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``verb(db, …)``; all that it reads is of one moment."""
        return await self._kept(self._tried(lambda: self._snapshot(lambda db: verb(db, *args, **kwargs)), True))

    async def look(
        self, verb: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for a verb of one statement, which is of one moment by itself."""
        return await self._kept(self._tried(lambda: self._bare(lambda db: verb(db, *args, **kwargs)), True))

    def shared(self, verbs: int) -> None:
        """So many more verbs were made durable by a transaction that was counted as one."""
        self.verbs += verbs

    async def close(self) -> None:
        """Finish what was asked for, then close the connections."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self._pool.close()

    async def _kept(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it to its end, also when the one who asked goes away: a commit is nothing to be torn."""
        if self._closed or len(self._tasks) >= QUEUED:
            work.close()
            raise closed() if self._closed else _crowded()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _tried(self, work: Callable[[], Awaitable[T]], harmless: bool) -> T:
        doubted = False
        for pause in (*PAUSES, None):
            try:
                answer = await work()
            except Refusal:
                raise
            except Exception as error:  # noqa: BLE001 - what it is decides whether it is tried again; else it is raised
                doubted = doubted or isinstance(error, _Unsure)
                if isinstance(error, _Unsure) and not harmless:
                    self._doubtful()
                    raise unsure() from error.__cause__
                cause = _cause(error)
                if pause is None or not (gone(cause) or clash(cause)):
                    raise (unsure() if doubted else understood(cause)) from cause
                log.info("the database was in the way (%s); trying again", str(cause) or type(cause).__name__)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - to spread those who wait
            else:
                if doubted:
                    self._doubtful()
                return answer
        raise AssertionError("the last pause is None")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Database]:
        """One of the pool's, which does not take it back when it is broken."""
        async with self._pool.acquire() as db:
            try:
                yield db
            except Exception as error:  # looked at, and raised
                if gone(_cause(error)):
                    db.terminate()
                raise

    async def _once(self, verb: Callable[[Database, float], Awaitable[T]]) -> T:
        async def timed(db: Database) -> T:
            return await verb(db, await db.fetchval(NOW) if self._clock is None else self._clock())

        return await self._written(timed)

    async def _written(self, verb: Callable[[Database], Awaitable[T]]) -> T:
        async with self._connection() as db:
            await db.execute("BEGIN")
            try:
                answer = await verb(db)
            except BaseException:  # also when it is cancelled: nothing of it stays
                await _undo(db)
                raise
            try:
                await db.execute("COMMIT")
            except Exception as error:  # looked at, and raised
                if gone(error):
                    raise _Unsure from error
                raise
            self.commits += 1
            self.verbs += 1
            return answer

    async def _single(self, verb: Callable[[Database, float | None], Awaitable[T]]) -> T:
        async with self._connection() as db:
            try:
                answer = await verb(db, None if self._clock is None else self._clock())
            except Exception as error:  # looked at, and raised
                if gone(error):  # it may be just the answer that was lost
                    raise _Unsure from error
                raise
            self.commits += 1
            self.verbs += 1
            return answer

    async def _snapshot(self, verb: Callable[[Database], Awaitable[T]]) -> T:
        async with self._connection() as db:
            await db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                return await verb(db)
            finally:
                await _undo(db)

    async def _bare(self, verb: Callable[[Database], Awaitable[T]]) -> T:
        async with self._connection() as db:
            return await verb(db)


async def _undo(db: Database) -> None:
    """Roll back; a connection that cannot even do that is not used again."""
    if db.is_closed():
        return
    try:
        await db.execute("ROLLBACK")
    except Exception as error:  # noqa: BLE001 - the first error is what the caller is told
        log.info("a rollback failed: %s", error)
        db.terminate()


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error, _Unsure) and isinstance(error.__cause__, Exception) else error


def _crowded() -> Refusal:
    return Refusal("busy", f"{QUEUED:,} requests wait for the central's database.", retry_after=1.0)
