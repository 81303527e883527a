"""Pilots made of nothing but the wire, light enough that the central is what is measured: signed requests over TLS
connections that stay open, answers read as little as the measurement needs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import secrets
import ssl
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import msgspec

from bench.engine import widened
from pilot import signatures
from pilot.protocol import (
    PILOT_SCHEME,
    EnrolReply,
    EnrolRequest,
    HeartbeatRequest,
    LeaseReport,
    MatchRequest,
    Offer,
)
from pilot.states import Phase, PilotState

#: Pilots that were journalled: number → stamp and offer.
Planned = dict[int, tuple[str, Offer]]

_NONCES = itertools.count(secrets.randbits(40))


class Given(msgspec.Struct):
    """Of a lease, what names it."""

    job: int
    attempt: int


class Answer(msgspec.Struct):
    """Of the answer to a match, what was won."""

    leases: tuple[Given, ...] = ()
    reason: str | None = None


_ANSWER = msgspec.json.Decoder(Answer)
_ENROLLED = msgspec.json.Decoder(EnrolReply)


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, url: str, context: ssl.SSLContext) -> Connection:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            cls, "127.0.0.1", parts.port or 443, ssl=context, server_hostname=parts.hostname
        )
        return connection

    def close(self) -> None:
        self._transport.abort()

    async def post(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Send a request, of which `head` lacks only the length; status and body of the answer."""
        assert self._waiting is None
        if self._transport.is_closing():
            raise ConnectionError("the server hung up while nothing was asked")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        return await self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionError("the central hung up"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.index(b"content-length:") + 15
        stop = head.find(b"\r\n", at)
        length = int(head[at : stop if stop > 0 else None])
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        self._buffer.clear()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result((int(head[9:12]), body))


def secret_of(number: int) -> str:
    """The one-time secret of a pilot that was planned under this number."""
    return hashlib.sha256(f"secret {number}".encode()).hexdigest()


@dataclass
class WirePilot:
    """One pilot with one agent on one connection."""

    stamp: str
    number: int
    offer: Offer
    connection: Connection
    host: str
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    token: str = ""
    epoch: int = 0
    asked: int = 0
    beats: int = 0
    leases: tuple[Given, ...] = ()  # that its heartbeats list
    bodies: dict[int, tuple[bytes, bytes]] = field(
        default_factory=dict
    )  # most → a request, before and after its number

    async def enrol(self) -> None:
        body = msgspec.json.encode(
            EnrolRequest(secret_of(self.number), base64.b64encode(self.key).decode(), "bench", instance="bench")
        )
        path = f"/v1/pilots/{self.stamp}/enrol"
        head = f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
        reply = _ENROLLED.decode(_good(await self.connection.post(head.encode(), body)))
        self.token, self.epoch = reply.token, reply.epoch

    async def match(self, most: int) -> tuple[Given, ...]:
        """Ask for up to so many jobs, and do not wait for any."""
        self.asked += 1
        if most not in self.bodies:
            request = MatchRequest(-7, widened(self.offer, most, 0), most=most)
            before, after = msgspec.json.encode(request).split(b"-7")
            self.bodies[most] = (before, after)
        before, after = self.bodies[most]
        answer = await self._signed("match", b"%b%d%b" % (before, self.asked, after))
        return _ANSWER.decode(answer).leases

    async def beat(self) -> None:
        """A heartbeat that lists what it holds."""
        self.beats += 1
        held = tuple(LeaseReport(lease.job, lease.attempt, Phase.RUNNING) for lease in self.leases)
        request = HeartbeatRequest(self.epoch, self.beats, PilotState.RUNNING, {"1": self.asked}, held)
        await self._signed("heartbeat", msgspec.json.encode(request))

    async def push(self, stream: str, offset: int, content: bytes, last: bool = False) -> None:
        """A chunk of one of its logs, as it is: not compressed."""
        target = f"/v1/logs/{self.stamp}/{stream}?offset={offset}" + ("&last=1" if last else "")
        await self._ask("PUT", target, content, "application/octet-stream")

    async def _signed(self, what: str, body: bytes) -> bytes:
        return await self._ask("POST", f"/v1/pilots/{self.stamp}/{what}", body, "application/json")

    async def _ask(self, method: str, target: str, body: bytes, kind: str) -> bytes:
        proof = signatures.sign(
            self.key,
            method,
            target,
            body,
            f"{PILOT_SCHEME} {self.token}",
            keyid=self.stamp,
            created=int(time.time()),
            nonce=f"n{next(_NONCES)}",
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in proof.items())
        head = f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: {kind}\r\n{lines}"
        return _good(await self.connection.post(head.encode(), body))


def _good(answer: tuple[int, bytes]) -> bytes:
    status, body = answer
    if status != 200:
        raise SystemExit(f"the central answered {status}: {body.decode(errors='replace')[:500]}")
    return body


async def enrolled(url: str, ca: str, planned: Planned) -> list[WirePilot]:
    """Pilots that were planned, each on a connection of its own, known to the central."""
    context = ssl.create_default_context(cafile=ca)
    host = urlsplit(url).netloc
    pilots = []
    for number, (stamp, offer) in planned.items():
        pilot = WirePilot(stamp, number, offer, await Connection.open(url, context), host)
        await pilot.enrol()
        pilots.append(pilot)
    return pilots
