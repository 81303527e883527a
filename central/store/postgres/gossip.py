"""Words between the centrals over one database: NOTIFY by whoever speaks, LISTEN on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from central.store.postgres.connection import connect_alone
from pilot.errors import Refusal

if TYPE_CHECKING:
    import asyncpg

    from central.store.postgres.connection import Database

log = logging.getLogger(__name__)

CHANNEL = "pilotage"
#: Bytes of a word; the server takes 8,000 with our name before it.
LONGEST = 7_000
#: Seconds between tries to connect again, and between looks whether the connection still lives.
PAUSE = 1.0
PULSE = 15.0

# Heard at once, and not waited for until it is on the disk: a server that crashes has lost those who listened as well,
# and they read everything anew.
TELL = f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{CHANNEL}', $1)"


class Gossip:
    """This central's end. `heard` gets each word of the others, and None when some may have been missed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._name = secrets.token_hex(8)
        self._heard: Callable[[str | None], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def tell(self, db: Database, word: str) -> None:
        size = len(word.encode())
        if size > LONGEST:
            raise Refusal("too-large", f"A word of {size:,} bytes.", expected=str(LONGEST), got=str(size))
        await db.execute(TELL, f"{self._name}{word}")

    async def listen(self, heard: Callable[[str | None], None]) -> None:
        """Returns when every word from now on is heard. Raises as `connect_alone` when there is no connection."""
        self._heard = heard
        connection = await self._connected()
        self._task = asyncio.get_running_loop().create_task(self._serve(connection))

    def missed(self) -> None:
        """Say that somebody who counts by what is heard or answered may have missed something."""
        if self._heard is not None:
            self._heard(None)

    async def close(self) -> None:
        task, self._task, self._heard = self._task, None, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await connect_alone(self._url)
        try:
            await connection.add_listener(CHANNEL, self._on_word)
        except BaseException:  # the connection does not outlive a failure, whatever it was
            connection.terminate()
            raise
        return connection

    async def _serve(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Keep a connection that listens: whenever it is lost make another, and say that words may be missing."""
        while True:
            try:
                await self._until_lost(connection)
            finally:
                connection.terminate()
            log.warning("the connection that listens to other centrals is lost")
            connection = await self._reconnected()
            self.missed()

    async def _until_lost(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not connection.is_closed():
            try:
                await asyncio.wait_for(lost.wait(), PULSE)
            except TimeoutError:
                try:
                    await connection.execute("SELECT 1")  # a way that is dead in silence is found out
                except Exception as error:  # noqa: BLE001 - whatever it is, another connection is the answer
                    log.info("the connection that listens does not answer: %s", error)
                    return

    async def _reconnected(self) -> asyncpg.Connection[asyncpg.Record]:
        while True:
            try:
                return await self._connected()
            except Exception as error:  # noqa: BLE001 - the server is away, for whatever reason: it is tried until it is back
                log.info("no connection to listen to other centrals (%s); trying again", error)
                await asyncio.sleep(PAUSE)

    def _on_word(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, word = str(payload)[: len(self._name)], str(payload)[len(self._name) :]
        if sender != self._name and self._heard is not None:
            self._heard(word)
