"""Connections of somebody who means no good: bytes as they choose, over TLS or before there is any."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import ssl
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from tests.integration.running_central import PATIENCE, RunningCentral


def address(central: RunningCentral) -> tuple[str, int]:
    parts = urlsplit(central.url)
    return "127.0.0.1", parts.port or 443


def knock(central: RunningCentral) -> socket.socket:
    """A connection and nothing else."""
    return socket.create_connection(address(central), timeout=PATIENCE)


def enter(central: RunningCentral, words: bytes = b"", buffer: int = 0) -> ssl.SSLSocket:
    """A connection with TLS, on which these bytes were sent. `buffer`: bytes that its system keeps for it at most."""
    context = ssl.create_default_context(cafile=central.ca)
    plain = socket.socket()
    if buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    plain.settimeout(PATIENCE)
    plain.connect(address(central))
    secure = context.wrap_socket(plain, server_hostname="localhost")
    secure.sendall(words)
    return secure


def answer(connection: socket.socket) -> bytes:
    """All that is said until the other side hangs up."""
    said = b""
    with connection:
        try:
            while more := connection.recv(65536):
                said += more
        except (ConnectionError, ssl.SSLError):  # cut off
            pass
    return said


def ask(central: RunningCentral, words: bytes) -> bytes:
    """Send these bytes, and all that is said until the other side hangs up."""
    connection = enter(central)
    with contextlib.suppress(ConnectionError, ssl.SSLError):  # it may hang up in the middle
        connection.sendall(words)
    return answer(connection)


def open_ones(connections: Collection[socket.socket]) -> int:
    """How many of those that say nothing the other side has not closed."""
    closed = 0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        for key, _ in selector.select(0):
            try:
                closed += not key.fileobj.recv(65536)  # type: ignore[union-attr]
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except OSError:
                closed += 1
    return len(connections) - closed


def is_cut(connection: socket.socket, byte: bytes = b"") -> bool:
    """Whether the other side has hung up on one who goes on dripping this byte."""
    connection.setblocking(False)
    try:
        if byte:
            connection.send(byte)
        return not connection.recv(65536)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True


@contextlib.contextmanager
def many_files(wanted: int) -> Iterator[int]:
    """Let this process have as many files as are wanted, or as it may; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft) if soft != resource.RLIM_INFINITY else soft, hard))
    try:
        yield most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
