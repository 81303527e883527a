"""The door for callers with certificates: a port of its own, whose handshakes ask for one.

OpenSSL looks at the chain in the handshake, with the authorities as they are at that moment: each connection has a
context of its own, so that no session is taken up again that would pass the look by. Who does not get in is told by an
alert of TLS, and the log says why. Revocation lists are no part of the handshake: OpenSSL would read them, on the loop,
for whoever names a trusted authority, before it has looked at a signature. They are looked at with the request, in a
thread (`central/login/chains.py`), which only holders of certificates that are good otherwise can make.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import uvicorn

from central.configuration.certificates import CertificateLogin
from central.serving.connection_table import Connection, ConnectionTable
from central.serving.front_door import FrontDoor, Http, begin_tls
from central.serving.rates import Buckets
from central.trust.certificates import Certificates
from pilot.errors import PilotageError

log = logging.getLogger(__name__)
#: Seconds in which a caller who is turned away can read why; and words a second to the log about those of one address.
FAREWELL, TELL = 1.0, 1
#: Connections at the same time, and of one address. Each has all authorities in memory where they are in one file.
MOST, MOST_EACH = 256, 64
#: Files that these have open: in a handshake two each.
FILES = 2 * MOST
#: Threads that read authorities for handshakes: none that others need.
READERS = 2


class _Telling(ssl.SSLObject):
    """TLS that keeps what it has to say to the other side when the handshake fails: that would be lost otherwise."""

    outgoing: ssl.MemoryBIO
    context: AskingContext

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self.context.last = self.outgoing.read()
            raise


class AskingContext(ssl.SSLContext):
    """The context of one handshake, and what was said last when that has failed."""

    sslobject_class = _Telling
    last: bytes = b""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *more: Any, **named: Any) -> _Telling:
        tls = cast(_Telling, super().wrap_bio(incoming, outgoing, *more, **named))
        tls.outgoing = outgoing
        return tls


def asking_context(login: CertificateLogin, certificates: Certificates) -> AskingContext:
    """A context that asks for a certificate of the authorities that the settings name. Reads files; raises OSError."""
    context = AskingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
    if login.strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(login.cafile or None, login.capath or None)
    certificates.load(context)
    return context


class CertificateDoor(FrontDoor):
    """Lets in who shows a certificate. Its connections are few and short, and in a table of their own: whatever comes
    to this door takes no room from others."""

    def __init__(self, context: Callable[[], AskingContext]) -> None:
        try:
            super().__init__(ConnectionTable(MOST, MOST_EACH), context())
        except OSError as error:
            raise PilotageError(f"[certificates] of central.toml: the authorities cannot be read ({error})") from error
        self._new_context = context
        self._told = Buckets(TELL)
        self._readers = ThreadPoolExecutor(READERS, "handshakes")

    async def _shake_hands(self, sock: socket.socket, connection: Connection, server: uvicorn.Server) -> None:
        with sock.dup() as same:  # which stays open when the other is closed
            try:  # beside the loop: reading a file of many authorities takes long, and anybody can make us do it
                context = await asyncio.get_running_loop().run_in_executor(self._readers, self._new_context)
            except OSError as error:
                self._tell(connection, f"the authorities cannot be read: {error}")
                sock.close()
                raise
            try:
                await begin_tls(sock, context, lambda: _Showing(self.table, connection, server))
            except ssl.SSLError as error:
                self._tell(connection, getattr(error, "verify_message", "") or error.reason or "no TLS")
                await _farewell(same, context)
                raise

    def _tell(self, connection: Connection, why: str) -> None:
        if not self._told.take(connection.address, asyncio.get_running_loop().time()):
            fields = {"address": connection.address, "why": why}
            log.info("Nobody was let in by a certificate", extra={"fields": fields})


async def _farewell(sock: socket.socket, context: AskingContext) -> None:
    """Send the alert, and wait for the other side to have it: what it has sent since would cut the connection off."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    try:
        async with asyncio.timeout(FAREWELL):
            await loop.sock_sendall(sock, context.last)
            sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(sock, 65536):
                pass
    except OSError:  # gone, or too slow
        pass


class _Showing(Http):
    """One request of a caller whose certificate has been looked at, but for what is revoked."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._connection.chain = _verified(transport.get_extra_info("ssl_object"))
        super().connection_made(transport)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.keep_alive = False  # who comes again is looked at again: what was good then may be revoked by now


def _verified(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The chain up to the authority, as OpenSSL has verified it; none where it did not."""
    if hasattr(tls, "get_verified_chain"):  # from Python 3.13 on
        return tuple(tls.get_verified_chain())
    chain = tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]
    return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain or ())
