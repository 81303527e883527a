"""HTTPS as storages speak it: large bodies that are only sent when they are wanted, redirects to other machines, kept
connections, and an end for whoever hangs or drips.

Not by the library that talks to the central: it sends a body before it has been asked for it, and so a file of 20 GB
to a storage that is full, or to a door that only says which machine takes it.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Callable, Optional
from urllib.parse import urljoin, urlsplit

from pilot.destination import shown
from pilot.destinations.connection import Connection, Early, NotLetThrough, Place
from pilot.destinations.port import BLOCK, NotAllowed, NotThere, Pause, Rejected, Unavailable
from pilot.errors import TransportError
from pilot.persist import Stopped

#: Machines that one storage may send us on to, in a row.
MAX_REDIRECTS = 5
#: Bytes of an answer that is no file.
MAX_ANSWER = 1024 * 1024
#: Idle connections kept for one place, and seconds after which they are not trusted any more.
KEPT, STALE = 8, 20.0
#: Idle connections kept for all places together.
MAX_IDLE = 32
#: A body larger than this is announced, and sent when it is asked for.
ANNOUNCED = 64 * 1024
#: Statuses after which the same may work in a moment.
PASSING = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
FULL = 507
#: What to do about a storage whose certificate is not believed.
TRUST = "its authority must be one of the node's system or lie in the folder X509_CERT_DIR, see docs/destinations.md"


@dataclass(frozen=True)
class Body:
    """A piece of a file."""

    file: BinaryIO
    size: int
    offset: int = 0

    def blocks(self) -> Iterator[bytes]:
        """From its beginning. Raises `Rejected` when that cannot be read any more."""
        left = self.size
        try:
            self.file.seek(self.offset)
            while left:
                block = self.file.read(min(BLOCK, left))
                if not block:
                    raise Rejected("the file has become shorter while it was sent")
                left -= len(block)
                yield block
        except OSError as error:
            raise Rejected(f"the file cannot be read: {error.strerror or error}") from error


#: What no to a file means, where it means something more.
_MEANT = {401: NotAllowed, 403: NotAllowed, 404: NotThere, 410: NotThere}


@dataclass(frozen=True)
class Reply:
    """An answer. Names of headers are in lower case."""

    status: int
    reason: str
    url: str  # where it came from in the end
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def expect_good(self, what: str) -> Reply:
        """Raises `Rejected`, `Unavailable` or `TransportError` for an answer that says no."""
        if self.good:
            return self
        said = f"{what} {shown(self.url)}: {self.status} {self.reason}".rstrip()
        retry_after = self.headers.get("retry-after", "")
        seconds = float(retry_after) if retry_after.isdigit() and len(retry_after) < 6 else None
        if self.status == FULL or (self.status in PASSING and seconds):
            raise Unavailable(said, seconds)
        if self.status in PASSING:
            raise TransportError(said)
        raise _MEANT.get(self.status, Rejected)(said)


#: The headers that say who we are, for each URL anew: a redirect leads to whoever it likes.
Headers = Callable[[str], Mapping[str, str]]


class Web:
    """For any thread. `context` says whom to trust, `proxy` by which proxy a URL is reached (empty: by none)."""

    def __init__(self, context: ssl.SSLContext, proxy: Callable[[str], str]) -> None:
        self.context = context
        self.proxy = proxy
        self._lock = threading.Lock()
        self._idle: dict[Place, list[tuple[float, Connection]]] = {}

    def ask(
        self,
        method: str,
        url: str,
        headers: Headers,
        pause: Pause,
        *,
        body: Optional[Body] = None,
        sink: Optional[Callable[[bytes], object]] = None,
        plain: bool = False,
        thinks: float = 0.0,
    ) -> Reply:
        """Ask, also whom the answer sends us on to. `sink` gets the body of a good answer.

        `plain`: without TLS too, as the central signed it. `thinks`: seconds more than usual until it answers.
        Raises `TransportError`, `Rejected`, `Stopped`.
        """
        for _ in range(MAX_REDIRECTS + 1):
            place = _place(url, plain)
            reply = self._once(method, url, place, headers(url), body, sink, pause, thinks)
            location = reply.headers.get("location", "")
            if reply.status not in (301, 302, 307, 308) or not location:
                return reply
            url = _onward(method, url, location)
        raise Rejected(f"{method} {shown(url)}: it was sent on more than {MAX_REDIRECTS} times")

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            connections = [one for kept in self._idle.values() for _, one in kept]
            self._idle.clear()
        for connection in connections:
            connection.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _once(
        self,
        method: str,
        url: str,
        place: Place,
        headers: Mapping[str, str],
        body: Optional[Body],
        sink: Optional[Callable[[bytes], object]],
        pause: Pause,
        thinks: float,
    ) -> Reply:
        """One request. A kept connection that turns out to be closed is replaced by a new one, once."""
        while True:
            connection, kept = self._connection(place, url, pause)
            connection.thinks = thinks
            try:
                self._send(connection, method, url, headers, body)
                answer = connection.answer(method)
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                if pause(0):
                    raise Stopped(None) from error
                if kept and not connection.heard:
                    continue
                raise TransportError(f"{method} {shown(url)}: {_said(error)}") from error
            except BaseException:  # whatever it was: half a request is on its way, and nobody else has the connection
                connection.close()
                raise
            return self._read(connection, answer, method, url, sink)

    def _send(
        self, connection: Connection, method: str, url: str, headers: Mapping[str, str], body: Optional[Body]
    ) -> None:
        size = body.size if body is not None else 0
        told = {"User-Agent": "pilotage-pilot", "Accept-Encoding": "identity"}
        # Signed headers may name these two, which are ours to say.
        told.update({name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")})
        if body is not None or method in ("PUT", "POST"):
            told["Content-Length"] = str(size)
        announced = size > ANNOUNCED
        if announced:
            told["Expect"] = "100-continue"
        connection.begin(method, _target(url), told, size)
        if body is None or (announced and not connection.wanted()):
            return
        with suppress(Early):  # an answer that came before all was sent says why the rest is not wanted
            for block in body.blocks():
                connection.send(block)

    def _read(
        self,
        connection: Connection,
        answer: http.client.HTTPResponse,
        method: str,
        url: str,
        sink: Optional[Callable[[bytes], object]],
    ) -> Reply:
        content = bytearray()
        good = 200 <= answer.status < 300
        whole = False
        try:
            while block := answer.read(BLOCK):
                if sink is not None and good:
                    sink(block)
                elif len(content) < MAX_ANSWER:
                    content += block
                else:
                    break
            if answer.length:
                raise TransportError(f"{method} {shown(url)}: it broke off {answer.length} bytes before its end")
            whole = answer.isclosed()
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(f"{method} {shown(url)}: {_said(error)}") from error
        finally:
            if whole and not answer.will_close and connection.complete:
                self._keep(connection)
            else:
                connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, answer.reason, url, headers, bytes(content))

    def _connection(self, place: Place, url: str, pause: Pause) -> tuple[Connection, bool]:
        """A kept one, else a new one; and which it is."""
        while True:
            with self._lock:
                kept = self._idle.get(place)
                used, connection = kept.pop() if kept else (0.0, None)
            if connection is None:
                break
            if time.monotonic() - used < STALE and not connection.broken():
                connection.pause = pause
                return connection, True
            connection.close()
        try:
            return Connection(place, self.context if place.tls else None, self.proxy(url), pause), False
        except ssl.SSLCertVerificationError as error:  # of `ValueError` as well
            raise Rejected(f"{place.host}:{place.port} is not trusted: {error.verify_message}; {TRUST}") from error
        except ValueError as error:  # as the resolver raises for a name that can be none
            raise Rejected(f"{place.host}:{place.port} is nothing to connect to: {_said(error)}") from error
        except NotLetThrough as error:
            raise Rejected(f"{place.host}:{place.port} cannot be reached: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            if pause(0):
                raise Stopped(None) from error
            raise TransportError(f"{place.host}:{place.port} cannot be reached: {_said(error)}") from error

    def _keep(self, connection: Connection) -> None:
        """Keep it for the next request, and close what has been idle for long or is too much, the oldest first."""
        now = time.monotonic()
        with self._lock:
            idle = [(used, one) for kept in self._idle.values() for used, one in kept]
            idle.sort(key=lambda each: each[0])
            idle.append((now, connection))
            self._idle.clear()
            left: list[Connection] = []
            for number, (used, one) in enumerate(reversed(idle)):
                kept = self._idle.get(one.place, [])
                if number < MAX_IDLE and now - used < STALE and len(kept) < KEPT:
                    self._idle[one.place] = [(used, one), *kept]  # the one that was used last is at the end
                else:
                    left.append(one)
        for one in left:
            one.close()


def _place(url: str, plain: bool) -> Place:
    """Whom to connect to. Raises `Rejected` where that is not to be done, as after a redirect."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Rejected(f"{shown(url)} is no URL: {error}") from error
    if not parts.hostname or parts.scheme not in ("https", "http"):
        raise Rejected(f"{shown(url)} is no URL for HTTPS")
    if parts.scheme == "http" and not plain:
        raise Rejected(f"{shown(url)} is not HTTPS: nothing goes to or comes from there")
    return Place(parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.scheme == "https")


def _onward(method: str, url: str, location: str) -> str:
    """Where an answer sends us on to. Raises `Rejected`."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Rejected(f"{method} {shown(url)}: it was sent on to {shown(location)!r}, which is no URL") from error


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
