"""Connections that queues share: one for all that reach the same host in the same way.

It is made by whoever needs it and finds none that works, and closed with the last queue that uses it. Nobody waits for
it, or for room on it, longer than for a program; where what runs on it hangs, the others go on with another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from central.configuration.elements import Ssh
from central.elements.host import Ran

#: Programs that run over one connection at the same time. An SSH server takes ten by default (MaxSessions), and one
#: that we have given up may still be ending.
SESSIONS = 8
#: Part of its patience for which a program waits for room.
WAIT = 0.25


class NoSession(ConnectionError):
    """A program was not started, since over this connection none can be."""


class Connection(Protocol):
    """One to a host, over which programs are run side by side."""

    @property
    def broken(self) -> bool:
        """Whether nothing passes any more."""

    async def run(self, command: str, stdin: bytes) -> Ran:
        """Run a program to its end. Raises `NoSession`, `OSError` when the connection breaks, `ComputingError`."""

    async def close(self) -> None:
        """At once, whatever runs."""


#: Makes a connection, or gives up in a time of its own. Raises `ComputingError`.
Connect = Callable[[], Awaitable[Connection]]


@dataclass(eq=False)
class _Open:
    """A connection that was made; `running` programs are using it."""

    connection: Connection
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SESSIONS))
    running: int = 0


class Shared:
    """The connection of all who reach a host in the same way."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._current: _Open | None = None  # for whoever comes now
        self._open: set[_Open] = set()  # with those on which something still runs
        self._opening: asyncio.Task[_Open] | None = None
        self._waiting = 0  # for what is being opened
        self._closed = False

    async def run(self, command: str, stdin: bytes, patience: float) -> Ran:
        """Run a program; whoever asks gives up by `patience` (seconds). Raises as `Connect` and `Connection.run`."""
        refused = False
        while True:
            opened = await self._place(patience * WAIT)
            try:
                return await opened.connection.run(command, stdin)
            except NoSession:
                if refused:
                    raise
                refused = True
                await self._retire(opened)
            finally:
                opened.running -= 1
                opened.room.release()
                if opened is not self._current:
                    await self._close_idle(opened)

    async def close(self) -> None:
        self._closed = True
        if self._opening:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self._current = None
        for opened in list(self._open):
            await self._close(opened)

    async def _place(self, wait: float) -> _Open:
        """The connection with room for one program, which is counted among the running."""
        while True:
            opened = await self._usable()
            try:
                async with asyncio.timeout(wait):
                    await opened.room.acquire()
            except TimeoutError:
                await self._retire(opened)
                continue
            if opened is self._current and not opened.connection.broken:
                opened.running += 1
                return opened
            opened.room.release()

    async def _usable(self) -> _Open:
        """The connection that there is, else a new one, for which all wait together."""
        if self._current and self._current.connection.broken:
            await self._retire(self._current)
        if self._current:
            return self._current
        if self._closed:
            raise ConnectionAbortedError("it was closed")
        if not self._opening or self._opening.done():
            self._opening = asyncio.create_task(self._opened())
        opening = self._opening
        self._waiting += 1
        try:
            return await asyncio.shield(opening)
        finally:
            self._waiting -= 1
            if not self._waiting and not opening.done():  # nobody wants it any more
                opening.cancel()
                self._opening = None

    async def _opened(self) -> _Open:
        opened = _Open(await self._connect())
        self._open.add(opened)
        self._current = opened
        return opened

    async def _retire(self, opened: _Open) -> None:
        """Start nothing more on it; what runs there goes on."""
        if self._current is opened:
            self._current = None
        await self._close_idle(opened)

    async def _close_idle(self, opened: _Open) -> None:
        if not opened.running:
            await self._close(opened)

    async def _close(self, opened: _Open) -> None:
        if opened in self._open:
            self._open.remove(opened)
            await opened.connection.close()


@dataclass
class _Use:
    shared: Shared
    users: int = 0


class Connections:
    """Those of one central."""

    def __init__(self) -> None:
        self._uses: dict[Ssh, _Use] = {}

    def take(self, way: Ssh, connect: Connect) -> Shared:
        """The one of all who go this way; `leave` ends it, once for each time that it was taken."""
        use = self._uses.setdefault(way, _Use(Shared(connect)))
        use.users += 1
        return use.shared

    async def leave(self, way: Ssh) -> None:
        use = self._uses[way]
        use.users -= 1
        if not use.users:
            del self._uses[way]
            await use.shared.close()
