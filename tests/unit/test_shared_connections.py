"""A connection that several share: how it is waited for, and when it is closed."""

from __future__ import annotations

import asyncio

import pytest

from central.configuration.elements import Ssh
from central.elements.connections import Connections, Shared
from central.elements.host import Ran

pytestmark = pytest.mark.anyio


class Connection:
    """One over which every program says its own name."""

    def __init__(self) -> None:
        self.broken = False

    async def run(self, command: str, stdin: bytes) -> Ran:
        return Ran(0, command.encode(), b"")

    async def close(self) -> None:
        self.broken = True


class Host:
    """Connects when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = asyncio.Semaphore(0)  # how often it was asked for a connection
        self.given_up = asyncio.Event()
        self.made: list[Connection] = []

    async def connect(self) -> Connection:
        self.asked.release()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        self.made.append(Connection())
        return self.made[-1]


async def test_who_gives_up_ends_it_for_nobody_else() -> None:
    """All wait together for a connection that is being made; it is given up with the last who waits, and not before."""
    host = Host()
    shared = Shared(host.connect)
    one, other = (asyncio.create_task(shared.run(name, b"", 60)) for name in ("one", "other"))
    await host.asked.acquire()
    one.cancel()
    await asyncio.wait([one])
    assert (one.cancelled(), host.given_up.is_set()) == (True, False)
    host.go.set()
    assert (await other).output == b"other"
    assert (len(host.made), host.asked.locked()) == (1, True)

    host.go.clear()
    host.made[0].broken = True
    last = asyncio.create_task(shared.run("last", b"", 60))
    await host.asked.acquire()
    last.cancel()
    await host.given_up.wait()
    host.go.set()
    assert (await shared.run("later", b"", 60)).output == b"later"
    await shared.close()
    assert [connection.broken for connection in host.made] == [True, True]


async def test_what_could_not_be_made_is_told_to_all_and_tried_again() -> None:
    """Everybody who waited hears why there is no connection; the next one to come tries anew."""
    attempts = 0

    async def connect() -> Connection:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.sleep(0)
            raise OSError("no way")
        return Connection()

    shared = Shared(connect)
    told = await asyncio.gather(*(shared.run("it", b"", 60) for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in told] == ["no way"] * 3
    assert (await shared.run("it", b"", 60)).output == b"it"
    assert attempts == 2


async def test_the_last_one_closes() -> None:
    """It is closed with the last who took it; whoever comes then gets another one, and others never had it."""
    host = Host()
    host.go.set()
    connections = Connections()
    one, other = (connections.take(Ssh("far"), host.connect) for _ in range(2))
    apart = connections.take(Ssh("far", key="/another"), host.connect)
    assert one is other
    await one.run("it", b"", 60)
    await apart.run("it", b"", 60)
    await connections.leave(Ssh("far"))
    assert [connection.broken for connection in host.made] == [False, False]
    await connections.leave(Ssh("far"))
    assert [connection.broken for connection in host.made] == [True, False]
    with pytest.raises(ConnectionAbortedError):
        await one.run("it", b"", 60)
    assert connections.take(Ssh("far"), host.connect) is not one
