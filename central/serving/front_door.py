"""The front door: connections before there is TLS on them, and requests before anybody answers them, within bounds.

uvicorn speaks HTTP; this is what it lets through. A connection is counted from its first packet on, so that a handshake
that never ends is seen; a head has a bound in bytes and in headers, and a time; a body and the reader of an answer have
a pace (`central/serving/connection_table.py`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import cast

import httptools
import uvicorn
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from central.serving.connection_table import HANDSHAKE, HERE, Connection, ConnectionTable, Phase, address_of
from central.serving.http import problem
from pilot.errors import Refusal

log = logging.getLogger(__name__)
#: Bytes of a request's target, bytes and number of its headers. Tokens, signatures and a proxy's additions are 2 kB.
MAX_TARGET = 8 * 1024
MAX_HEAD = 32 * 1024
MAX_HEADERS = 100
#: Requests that one may send ahead on a connection before the first is answered. None of our clients sends any.
MAX_AHEAD = 8
#: Bytes of answers that wait for a reader, before no more are made.
MAX_UNSENT = 128 * 1024
#: Seconds that the farewell of TLS may take.
FAREWELL = 5.0
#: Seconds between two looks for those that are too slow.
LOOK = 1.0
#: Callers let in before others have their turn.
AT_ONCE = 64
#: Seconds between two words to the log about those that were closed.
TELL = 60.0


class FrontDoor(Collector):
    """Accepts connections, begins TLS on them, and closes what has no right to stay. `http` makes a protocol."""

    def __init__(self, table: ConnectionTable, context: ssl.SSLContext) -> None:
        self.table = table
        self._context = context
        self._beginning: set[asyncio.Task[None]] = set()

    def open(self, listening: socket.socket, backlog: int, server: uvicorn.Server) -> Listener:
        """Let callers in, to be answered by that server. Returns what ends it."""
        listening.listen(backlog)
        listening.setblocking(False)
        listener = Listener(listening, lambda sock, peer: self._let_in(sock, peer, server))
        listener.resume()
        return listener

    def _let_in(self, sock: socket.socket, peer: object, server: uvicorn.Server) -> None:
        connection = Connection(address_of(peer), asyncio.get_running_loop().time(), lambda: None)
        if not self.table.admit(connection):
            sock.close()
            return
        beginning = asyncio.create_task(self._begin(sock, connection, server))
        connection.close = lambda: cast(None, beginning.cancel())
        self._beginning.add(beginning)
        beginning.add_done_callback(lambda task: self._begun(task, sock))

    def _begun(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        self._beginning.discard(task)
        if task.cancelled():  # perhaps before it had the socket
            sock.close()

    async def _begin(self, sock: socket.socket, connection: Connection, server: uvicorn.Server) -> None:
        """Shake hands; from then on the connection is HTTP's."""
        try:
            await self._shake_hands(sock, connection, server)
        except OSError:  # no handshake: nobody is there to be told
            self.table.remove(connection)
        except BaseException:  # also when it is given up: what is not open any more is not counted
            self.table.remove(connection)
            raise

    async def _shake_hands(self, sock: socket.socket, connection: Connection, server: uvicorn.Server) -> None:
        """Raises OSError when nothing comes of it."""
        await begin_tls(sock, self._context, lambda: Http(self.table, connection, server))

    async def watch(self) -> None:
        """Give up those that are too slow, for as long as the central serves, and tell the log of it now and then."""
        loop = asyncio.get_running_loop()
        told, when = self.table.told(), loop.time()
        while True:
            await asyncio.sleep(LOOK)
            self.table.sweep(loop.time())
            if self.table.told() != told and loop.time() - when > TELL:
                told, when = self.table.told(), loop.time()
                log.warning("Connections were closed: too many, or too slow", extra={"fields": told})

    def collect(self) -> Iterator[Metric]:
        """The figures, for Prometheus."""
        yield GaugeMetricFamily("pilotage_connections", "Connections that are open", len(self.table))
        closed = CounterMetricFamily("pilotage_connections_closed", "Connections closed by us", labels=("why",))
        for why, count in self.table.told().items():
            closed.add_metric((why,), count)
        yield closed


async def begin_tls(sock: socket.socket, context: ssl.SSLContext, protocol: Callable[[], Http]) -> None:
    """The handshake, in bounded time. Raises OSError."""
    await asyncio.get_running_loop().connect_accepted_socket(
        protocol,
        sock,
        ssl=context,
        ssl_handshake_timeout=HANDSHAKE + LOOK,
        ssl_shutdown_timeout=FAREWELL,
    )


class Listener:
    """A socket on which callers are waited for; `arrived` takes each. It is what uvicorn closes when it stops."""

    def __init__(self, listening: socket.socket, arrived: Callable[[socket.socket, object], None]) -> None:
        self._listening = listening
        self._arrived = arrived
        self._loop = asyncio.get_running_loop()

    def resume(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, peer = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no file is left: others will be closed, and then there is
                log.error("No connection can be accepted: %s", error)
                self._loop.remove_reader(self._listening)
                self._loop.call_later(LOOK, self.resume)
                return
            sock.setblocking(False)
            self._arrived(sock, peer)

    def close(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def wait_closed(self) -> None:
        """Connections are ended by others."""


class Http(HttpToolsProtocol):
    """HTTP on one connection, within bounds."""

    def __init__(self, table: ConnectionTable, connection: Connection, server: uvicorn.Server) -> None:
        super().__init__(server.config, server.server_state, {})
        self._table = table
        self._connection = connection
        self._here = (table, connection)
        self._vain = 0  # bytes since the last that were a whole head, some of a body, or the end of a request
        self._size = 0  # bytes of the headers
        self._headers_done = False
        self._refusal: tuple[HTTPStatus, Refusal] | None = None

    # -- the connection -------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(MAX_UNSENT)
        self._connection.close = transport.abort
        self._connection.unsent = transport.get_write_buffer_size
        self._connection.paused = lambda: self.flow.read_paused
        self._connection.enter(Phase.HEAD, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self._connection)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connection.block(self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connection.blocked = None

    def data_received(self, data: bytes) -> None:
        self._connection.received += len(data)
        self._vain += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # there is nothing else to speak: the request is answered as any other
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, Refusal("invalid", "this is not HTTP/1.1"))))
            return
        if self._vain > MAX_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _head_too_large())

    def _refuse(self, status: HTTPStatus, refusal: Refusal) -> None:
        """Say what is wrong, unless an answer is under way, and hang up."""
        if self.transport.is_closing():
            return
        answering: RequestResponseCycle | None = self.cycle  # None before the first request
        if answering is not None and not answering.response_complete:
            self.transport.abort()
            return
        body = problem(refusal, status).body
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/problem+json\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + bytes(body))
        self.transport.close()

    def _stop(self, status: HTTPStatus, refusal: Refusal) -> None:
        """Inside of the parser: make it stop."""
        self._refusal = (status, refusal)
        raise ValueError(refusal.detail)

    # -- what the parser finds ------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[HERE] = self._here  # type: ignore[literal-required]
        self._headers_done = False
        self._size = 0
        self._connection.enter(Phase.HEAD, self.loop.time())

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_TARGET:
            detail = f"the target of a request may have at most {MAX_TARGET} bytes"
            self._stop(HTTPStatus.REQUEST_URI_TOO_LONG, Refusal("too-large", detail, expected=str(MAX_TARGET)))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        if self._size > MAX_HEAD or len(self.headers) >= MAX_HEADERS:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _head_too_large())
        if not self._headers_done:  # what comes behind a body is nobody's header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._vain = 0
        self._headers_done = True
        if len(self.pipeline) >= MAX_AHEAD:
            self._stop(HTTPStatus.TOO_MANY_REQUESTS, Refusal("too-many", "send a request after the last one's answer"))
        super().on_headers_complete()
        self._connection.enter(Phase.BODY, self.loop.time())

    def on_body(self, body: bytes) -> None:
        self._vain = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._vain = 0
        super().on_message_complete()
        idle = self.cycle.response_complete and not self.pipeline
        self._connection.enter(Phase.IDLE if idle else Phase.ANSWER, self.loop.time())

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._connection.phase is Phase.ANSWER and self.cycle.response_complete:
            self._connection.enter(Phase.IDLE, self.loop.time())


def _head_too_large() -> Refusal:
    detail = f"the head of a request may have at most {MAX_HEAD} bytes and {MAX_HEADERS} headers"
    return Refusal("too-large", detail, expected=str(MAX_HEAD))
