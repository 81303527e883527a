"""One connection of HTTP/1.1 that looks for the answer also while it sends, and ends whoever takes too long."""

from __future__ import annotations

import http.client
import io
import re
import select
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple, Optional, cast
from urllib.parse import unquote, urlsplit

from pilot.destination import is_metadata
from pilot.destinations.port import Pause
from pilot.persist import Stopped
from pilot.transport import by_way_of

#: Seconds to connect; between two pieces; and to wait for the word that a body is wanted, which old servers never say.
CONNECT, SILENCE, CONTINUE = 10.0, 60.0, 2.0
#: Who moves fewer bytes than this a second, after some time, is taken for hung.
SLOWEST, PATIENCE = 4096, 120.0
#: Seconds between two looks at whether to stop.
_LOOK = 1.0
_MAX_LINE = 8192
_CONTINUE = re.compile(rb"HTTP/1\.[01] 100\b")  # some say 1.0, and go on as in 1.1


#: How `http.client` tells that a proxy will not let us through, today nor tomorrow.
_PROXY_SAYS_NO = re.compile(r"Tunnel connection failed: 4(?!08|29)\d\d\b")


class NotLetThrough(OSError):
    """The proxy refuses to connect us to this place."""


class Early(Exception):
    """There is an answer before everything was sent."""


class Place(NamedTuple):
    """Whom to connect to."""

    host: str
    port: int
    tls: bool = True


class Connection:
    """Connects at once, by `proxy` where it is given. `pause(0)` says whether to stop. Raises `OSError`, `Stopped`."""

    def __init__(self, place: Place, context: Optional[ssl.SSLContext], proxy: str, pause: Pause) -> None:
        self.place = place
        self.pause = pause
        self.heard = False  # something of an answer to the present request
        self.complete = True  # all of the present request was sent
        self.thinks = 0.0  # seconds more than usual until it answers
        self._left = 0
        self._deadline = time.monotonic() + PATIENCE
        sock = _connect(place, proxy)
        try:
            if not place.tls:
                _refuse_metadata(sock, place.host)
            self._sock = context.wrap_socket(sock, server_hostname=place.host) if context else sock
        except BaseException:  # whatever it was: nobody else has the socket yet
            sock.close()
            raise
        self._sock.settimeout(_LOOK)
        self._raw = _Raw(self)
        self._file = cast(io.BufferedReader, io.BufferedReader(self._raw, 64 * 1024))

    def begin(self, method: str, target: str, headers: Mapping[str, str], size: int) -> None:
        """Send the head of a request, whose body will have `size` bytes."""
        self.heard, self.complete, self._left = False, size == 0, size
        self._deadline = time.monotonic() + PATIENCE + self.thinks + size / SLOWEST
        host = f"[{self.place.host}]" if ":" in self.place.host else self.place.host
        port = "" if self.place.port == (443 if self.place.tls else 80) else f":{self.place.port}"
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}{port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""])
        if any(ord(sign) < 32 for line in lines for sign in line):
            raise ValueError("a control character in a request")
        self._send(head.encode("latin-1"))

    def wanted(self) -> bool:
        """Whether the body is to be sent: it was asked for, or nobody said anything."""
        end = time.monotonic() + CONTINUE
        while not self._answered(end - time.monotonic()):
            if time.monotonic() >= end:
                return True
        return self._interim()

    def send(self, block: bytes) -> None:
        """Send some of the body. Raises `Early` when there is an answer already."""
        while self._answered():
            if not self._interim():
                raise Early
        try:
            self._send(block)
        except ConnectionError:
            # It may have said why before it closed; else reading tells the same.
            raise Early from None
        self._left -= len(block)
        self.complete = self._left == 0

    def answer(self, method: str) -> http.client.HTTPResponse:
        """The answer, its head read."""
        response = http.client.HTTPResponse(cast(socket.socket, _Reader(self._file)), method=method)
        response.begin()
        self.heard = True
        return response

    def broken(self) -> bool:
        """Whether an idle connection was closed, or said something that nobody asked for."""
        return self._answered()

    def close(self) -> None:
        self._sock.close()

    def read_into(self, buffer: memoryview) -> Optional[int]:
        """What has come, waited for unless nothing is to be waited for now. Ends whoever hangs or drips."""
        silent = min(self._deadline, time.monotonic() + SILENCE + self.thinks)
        while True:
            try:
                got = self._sock.recv_into(buffer)
            except (socket.timeout, ssl.SSLWantReadError, BlockingIOError):
                if self._sock.gettimeout() == 0:
                    return None
                self._look(silent)
                continue
            self.heard = self.heard or got > 0
            self._deadline += got / SLOWEST
            return got

    # -- inside -------------------------------------------------------------------------------------------------------

    def _send(self, block: bytes) -> None:
        silent = min(self._deadline, time.monotonic() + SILENCE)
        view = memoryview(block)
        while view:
            view = view[self._send_some(view, silent) :]

    def _send_some(self, view: memoryview, silent: float) -> int:
        try:
            return self._sock.send(view)
        except (socket.timeout, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._look(silent)
            return 0

    def _look(self, silent: float) -> None:
        """Nothing has moved for a while."""
        if self.pause(0):
            raise Stopped(None)
        now = time.monotonic()
        if now >= silent:
            raise OSError("nothing moved for too long" if now < self._deadline else "it took too long")

    def _answered(self, seconds: float = 0.0) -> bool:
        """Whether there is something to read. Under TLS something may have come that is for TLS alone."""
        if self.pause(0):
            raise Stopped(None)
        if not self._readable(max(0.0, min(seconds, _LOOK))):
            return False
        self._sock.settimeout(0)
        try:
            return self._raw.ended or bool(self._file.peek(1)) or self._raw.ended
        finally:
            self._sock.settimeout(_LOOK)

    def _interim(self) -> bool:
        """Whether what came only says to go on, which some say twice; then it is read."""
        if not _CONTINUE.match(self._file.peek(1)):
            return False
        while self._file.readline(_MAX_LINE).strip():
            pass
        return True

    def _readable(self, seconds: float) -> bool:
        pending = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        if pending:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


class _Raw(io.RawIOBase):
    """What a connection receives, as a file."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        got = self.connection.read_into(buffer)
        self.ended = self.ended or got == 0
        return got


class _Reader:
    """In the place of a socket: `http.client` asks it for the file to read from, and may close that."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file

    def makefile(self, mode: str) -> BinaryIO:
        return cast(BinaryIO, _Lent(self.file))


class _Lent(io.BufferedIOBase):
    """A file that stays open when whoever reads an answer closes it: the next answer comes by it too."""

    def __init__(self, file: io.BufferedReader) -> None:
        super().__init__()
        self.file = file

    def readable(self) -> bool:
        return True

    def read(self, size: Optional[int] = -1) -> bytes:
        return self.file.read(-1 if size is None else size)

    def read1(self, size: int = -1) -> bytes:
        return self.file.read1(size)

    def readinto(self, buffer: Any) -> int:
        return self.file.readinto(buffer)

    def readline(self, size: Optional[int] = -1) -> bytes:
        return self.file.readline(-1 if size is None else size)

    def peek(self, size: int = 0) -> bytes:
        return self.file.peek(size)


def _connect(place: Place, proxy: str) -> socket.socket:
    if not proxy:
        sock = socket.create_connection((place.host, place.port), CONNECT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    by = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if by.scheme != "http":
        raise OSError(f"{by_way_of(proxy)}storages need one whose address begins with http://, not {by.scheme}://")
    tunnel = http.client.HTTPConnection(by.hostname or "", by.port or 3128, timeout=CONNECT)
    headers = {}
    if by.username:
        import base64

        pair = f"{unquote(by.username)}:{unquote(by.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    tunnel.set_tunnel(place.host, place.port, headers)
    try:
        tunnel.connect()
    except (OSError, http.client.HTTPException) as error:
        tunnel.close()
        kind = NotLetThrough if _PROXY_SAYS_NO.match(str(error)) else OSError
        raise kind(f"{by_way_of(proxy)}{str(error) or type(error).__name__}") from error
    return tunnel.sock


def _refuse_metadata(sock: socket.socket, host: str) -> None:
    """Without TLS anybody may answer: a cloud's metadata service would, and tell the machine's own secrets, or the
    proxy's, which is asked for a host by its name."""
    for address in (str(sock.getpeername()[0]), host):
        if is_metadata(address):
            raise OSError(f"{address} is an address at which clouds tell secrets: no storage is looked for there")
