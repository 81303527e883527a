"""The one connection of all queues that reach a host in the same way, on a real SSH server of this process."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from central.configuration.elements import Batch, Ssh
from central.configuration.settings import Queue
from central.elements.batch import BatchElement
from central.elements.connections import SESSIONS, Connections
from central.elements.kinds import computing_element
from central.elements.port import ComputingError, Trouble
from central.elements.ssh import SshHost

pytestmark = pytest.mark.anyio


@dataclass
class Far:
    """A host with an SSH server, on which `echo WORDS` and `hang` can be run; the latter until `go`."""

    ssh: Ssh
    key: asyncssh.SSHKey  # of the host
    most: int = 1000  # programs over one connection
    came: list[asyncssh.SSHServerConnection] = field(default_factory=list)  # every one that there ever was
    there: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    running: dict[asyncssh.SSHServerConnection, int] = field(default_factory=dict)
    peak: int = 0  # programs over one connection at the same time
    go: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(
        self, stdin: asyncssh.SSHReader[str], stdout: asyncssh.SSHWriter[str], stderr: asyncssh.SSHWriter[str]
    ) -> None:
        channel = stdin.channel
        assert isinstance(channel, asyncssh.SSHServerChannel)
        words = shlex.split(channel.get_command() or "")
        await self.tell()
        try:
            if words == ["hang"]:
                await self.go.wait()
            stdout.write(" ".join(words[1:]))
            channel.exit(0)
        finally:
            self.running[stdin.get_extra_info("connection")] -= 1

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, connections: int, programs: int) -> None:
        """So many are there, and run."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(
                lambda: len(self.there) == connections and sum(self.running.values()) == programs
            )

    @asynccontextmanager
    async def up(self, key: asyncssh.SSHKey) -> AsyncIterator[None]:
        listening = await asyncssh.listen(
            "127.0.0.1",
            self.ssh.port,
            server_factory=lambda: _Server(self),
            server_host_keys=[key],
            authorized_client_keys=f"{self.ssh.key}.pub",
            line_editor=False,
        )
        self.ssh = replace(self.ssh, port=listening.get_port())
        try:
            yield
        finally:
            self.go.set()
            listening.close()
            for connection in list(self.there):
                connection.abort()
            await listening.wait_closed()


class _Server(asyncssh.SSHServer):
    def __init__(self, far: Far) -> None:
        self.far = far

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.far.came.append(conn)
        self.far.there.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self.far.there.discard(self.connection)
        self.told = asyncio.create_task(self.far.tell())

    def session_requested(self) -> bool | Callable[..., Coroutine[Any, Any, None]]:
        far, before = self.far, self.far.running.get(self.connection, 0)
        if before >= far.most:
            return False
        far.running[self.connection] = before + 1
        far.peak = max(far.peak, before + 1)
        return far.run


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    ours, key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    ours.write_private_key(tmp_path / "id")
    (tmp_path / "id").chmod(0o600)
    ours.write_public_key(tmp_path / "id.pub")
    public = key.export_public_key().decode().strip()
    (tmp_path / "known_hosts").write_text(f"127.0.0.1 {public}\n[127.0.0.1]:* {public}\n")
    host = Far(Ssh("127.0.0.1", "us", 0, str(tmp_path / "id"), str(tmp_path / "known_hosts")), key)
    async with host.up(key):
        yield host


@pytest.fixture
async def connections() -> Connections:
    return Connections()


def hosts(connections: Connections, *ways: Ssh, patience: float = 20) -> list[SshHost]:
    """Of queues that reach these."""
    return [SshHost(way, {}, patience, connections) for way in ways]


async def said(host: SshHost, *words: str) -> str:
    return (await host.run(["echo", *words])).output.decode()


async def close(opened: Sequence[SshHost]) -> None:
    for host in opened:
        await host.close()


async def test_queues_of_one_host_share_a_connection(far: Far, connections: Connections, tmp_path: Path) -> None:
    """All queues that reach a host in the same way have one connection between them, which is closed with the last of
    them; another user's is another."""
    queues = [
        Queue(name, "here", kind=kind, ssh=far.ssh, batch=Batch(folder="/pilots"))
        for name, kind in (("a", "ssh"), ("b", "slurm"))
    ]
    elements = [computing_element(queue, tmp_path, connections=connections) for queue in queues]
    ours = [element.host for element in elements if isinstance(element, BatchElement)]
    (other,) = hosts(connections, replace(far.ssh, user="them"))
    answers = await asyncio.gather(*(host.run(["echo", "it", "is"]) for host in (*ours, other)))
    assert [answer.output for answer in answers] == [b"it is"] * 3
    assert sorted(str(one.get_extra_info("username")) for one in far.came) == ["them", "us"]
    await other.close()
    await elements[0].close()
    await far.until(connections=1, programs=0)
    assert (await ours[1].run(["echo", "still"])).output == b"still"
    await elements[1].close()
    await far.until(connections=0, programs=0)
    assert len(far.came) == 2


async def test_programs_at_the_same_time_are_bounded(far: Far, connections: Connections) -> None:
    """However many programs there are, no more run at the same time over the connection than a server takes; the
    others wait for room, and all are answered."""
    far.most = 10  # as OpenSSH has it where nothing is said
    three = hosts(connections, far.ssh, far.ssh, far.ssh)
    answers = await asyncio.gather(*(said(host, str(number)) for number in range(15) for host in three))
    assert answers == [str(number) for number in range(15) for _ in three]
    assert (len(far.came), far.peak <= SESSIONS) == (1, True)
    await close(three)


async def test_one_that_hangs_stops_no_other(far: Far, connections: Connections) -> None:
    """Where programs of some queues hang, as many as run over a connection, the others are served over another one in
    a part of their patience; the first is closed when nothing runs there any more."""
    hanging, waiting = hosts(connections, far.ssh, far.ssh, patience=2)
    stuck = [asyncio.create_task(hanging.run(["hang"])) for _ in range(SESSIONS)]
    await far.until(connections=1, programs=SESSIONS)
    assert await said(waiting, "served") == "served"
    assert (len(far.came), len(far.there)) == (2, 2)
    with pytest.raises(ComputingError, match="hang did not end within 2 s on 127.0.0.1"):
        await stuck[0]
    await asyncio.wait(stuck)
    assert {str(one.exception()) for one in stuck} == {"hang did not end within 2 s on 127.0.0.1"}
    async with asyncio.timeout(10), far.changed:
        await far.changed.wait_for(lambda: len(far.there) == 1)
    assert await said(hanging, "again") == "again"
    assert len(far.came) == 2
    await close([hanging, waiting])


async def test_a_server_that_takes_fewer(far: Far, connections: Connections) -> None:
    """A server that lets fewer programs run over a connection gets further connections, and no program is lost."""
    far.most = 3
    (host,) = hosts(connections, far.ssh)
    tasks = [asyncio.create_task(host.run(["hang"])) for _ in range(5)]
    await far.until(connections=2, programs=5)
    far.go.set()
    assert {(await task).code for task in tasks} == {0}
    await host.close()
    await far.until(connections=0, programs=0)


async def test_a_server_that_takes_none(far: Far, connections: Connections) -> None:
    """A server that starts no program at all is not asked again and again, and the queue says what to look at."""
    far.most = 0
    (host,) = hosts(connections, far.ssh)
    with pytest.raises(ComputingError, match=r"lets us in, but does not start echo: .* \(MaxSessions\)") as caught:
        await said(host, "served")
    assert (caught.value.trouble, len(far.came)) == (Trouble.UNREACHABLE, 2)
    await host.close()


async def test_whoever_finds_it_broken_makes_another(far: Far, connections: Connections) -> None:
    """When the connection breaks, what ran over it has failed, and the next program of any queue has a new one, which
    is again that of all; nobody else than the host that is known gets it."""
    one, other = hosts(connections, far.ssh, far.ssh)
    stuck = asyncio.create_task(one.run(["hang"]))
    await far.until(connections=1, programs=1)
    far.came[0].abort()
    with pytest.raises(ComputingError, match="the connection to 127.0.0.1 broke while hang ran there") as caught:
        await stuck
    assert caught.value.trouble is Trouble.UNREACHABLE
    answers = await asyncio.gather(said(other, "a"), said(one, "b"), said(other, "c"))
    assert list(answers) == ["a", "b", "c"]
    assert len(far.came) == 2
    await close([one, other])


async def test_another_key_than_before(far: Far, connections: Connections) -> None:
    """The key of the host is checked for every connection, by all queues alike."""
    one, other = hosts(connections, far.ssh, far.ssh)
    assert await said(one, "once") == "once"
    await asyncio.to_thread(Path(far.ssh.known_hosts).write_text, "")
    assert await said(other, "on the way that is open") == "on the way that is open"
    far.came[0].abort()
    for host in (other, one):
        with pytest.raises(ComputingError, match="is not the host that we know by that name") as caught:
            await said(host, "again")
        assert caught.value.trouble is Trouble.CREDENTIAL
    await close([one, other])
