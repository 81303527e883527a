"""Every connection to this process: how many there may be, which has to make way for another, which takes too long.

A connection whose caller has shown good credentials is *known*, every other a stranger's. When there is no room, the
oldest stranger's is closed, then the idle one of somebody known that has been here longest; a newcomer is turned away
only when all others are being answered. So whoever opens thousands and says nothing keeps nobody out: a newcomer takes
milliseconds to become known. One address may have only so many, and makes room among its own.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

#: Seconds for a TLS handshake, and for the head of a request from its first byte on.
HANDSHAKE, HEAD = 10.0, 20.0
#: Seconds for which an idle connection is kept: longer than the slowest heartbeat.
KEEP_ALIVE = 120.0
#: A body must bring this many bytes in each such span of seconds, as long as we read; so must one who reads an answer.
LEAST, SPAN = 30_000, 30.0
#: So many connections of known callers are looked at to find an idle one that can make way.
LOOKS = 64


class Phase(Enum):
    """What a connection is doing."""

    HANDSHAKE = "handshake"
    HEAD = "head"  #: of a request, or nothing was asked yet
    BODY = "body"
    ANSWER = "answer"  #: the request is whole, and its answer under way
    IDLE = "idle"


#: How long each may last; the others have their pace instead.
LONGEST = {Phase.HANDSHAKE: HANDSHAKE, Phase.HEAD: HEAD, Phase.IDLE: KEEP_ALIVE}
#: Where a request finds its connection.
HERE = "pilotage.connection"


@dataclass(eq=False, slots=True)
class Connection:
    """One connection. `close` ends it at once; `unsent` tells the bytes of answers that wait for its reader, `paused`
    whether it is we who do not read now."""

    address: str
    since: float  # when the phase, or the span that the pace is taken over, began
    close: Callable[[], None]
    unsent: Callable[[], int] = int
    paused: Callable[[], bool] = bool
    phase: Phase = Phase.HANDSHAKE
    received: int = 0  # bytes in this span
    blocked: float | None = None  # since when the reader takes less than we have to send
    waiting: int = 0  # bytes that were unsent then
    known: bool = False
    chain: tuple[bytes, ...] = ()  # of certificates that its caller has shown, as they were verified; the own first

    def enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self.since = now
        self.received = 0

    def block(self, now: float) -> None:
        """The reader does not keep up."""
        self.blocked, self.waiting = now, self.unsent()

    def too_slow(self, now: float) -> str:
        """What it takes too long for; empty: for nothing."""
        if now - self.since > LONGEST.get(self.phase, math.inf):
            if self.phase is Phase.IDLE or not self.paused():
                return str(self.phase.value)
            self.enter(self.phase, now)
        if self.phase is Phase.BODY and now - self.since > SPAN:
            if self.received < LEAST and not self.paused():
                return str(self.phase.value)
            self.enter(self.phase, now)
        if self.blocked is not None and now - self.blocked > SPAN:
            if self.waiting - self.unsent() < LEAST:
                return str(Phase.ANSWER.value)
            self.block(now)
        return ""


@dataclass(slots=True)
class _Some:
    """Connections by what they are worth to us; of each kind the oldest first."""

    strangers: dict[Connection, None] = field(default_factory=dict)
    known: dict[Connection, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.strangers) + len(self.known)

    def add(self, connection: Connection) -> None:
        (self.known if connection.known else self.strangers)[connection] = None

    def remove(self, connection: Connection) -> None:
        (self.known if connection.known else self.strangers).pop(connection, None)

    def dispensable(self) -> Connection | None:
        """The one that makes way first."""
        if self.strangers:
            return next(iter(self.strangers))
        for connection in [one for one, _ in zip(self.known, range(LOOKS), strict=False)]:
            if connection.phase is Phase.IDLE:
                return connection
            self.known[connection] = self.known.pop(connection)  # it has its turn again after all others
        return None


class ConnectionTable:
    """All of them. `most` in all, `most_each` of one address."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._all = _Some()
        self._of: dict[str, _Some] = {}
        self.made_way = 0  # closed for others
        self.turned_away = 0
        self.given_up: dict[str, int] = {}  # too slow, by what they were doing

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        yield from [*self._all.strangers, *self._all.known]

    def admit(self, connection: Connection) -> bool:
        """Take a new one in, if need be in the place of another. False: there is no room for it."""
        own = self._of.get(connection.address) or _Some()
        if not (self._room(own, self._most_each) and self._room(self._all, self._most)):
            self.turned_away += 1
            return False
        self._of.setdefault(connection.address, own).add(connection)
        self._all.add(connection)
        return True

    def _room(self, among: _Some, most: int) -> bool:
        if len(among) < most:
            return True
        found = among.dispensable()
        if found is None:
            return False
        self.made_way += 1
        self.remove(found)
        found.close()
        return True

    def know(self, connection: Connection) -> None:
        """Its caller has shown good credentials."""
        own = self._of.get(connection.address)
        if connection.known or own is None or connection not in own.strangers:
            return
        for some in (own, self._all):
            some.remove(connection)
        connection.known = True
        for some in (own, self._all):
            some.add(connection)

    def remove(self, connection: Connection) -> None:
        """It is gone."""
        self._all.remove(connection)
        if own := self._of.get(connection.address):
            own.remove(connection)
            if not own:
                del self._of[connection.address]

    def told(self) -> dict[str, int]:
        """How many were closed, and why."""
        slow = {f"slow-{what}": count for what, count in self.given_up.items()}
        return {"made-way": self.made_way, "turned-away": self.turned_away, **slow}

    def sweep(self, now: float) -> None:
        """Give up those that are too slow. To be called every second or so."""
        for connection in self:
            if what := connection.too_slow(now):
                self.given_up[what] = self.given_up.get(what, 0) + 1
                self.remove(connection)
                connection.close()


def know(scope: MutableMapping[str, Any]) -> None:
    """The caller of this request has shown good credentials: the connection is kept before those of strangers."""
    table, connection = scope.get(HERE, (None, None))
    if connection is not None and not connection.known:
        table.know(connection)


def chain_of(scope: MutableMapping[str, Any]) -> tuple[bytes, ...]:
    """The certificates that this request's caller has shown, verified, as DER, the own first; none where none are asked
    for."""
    _, connection = scope.get(HERE, (None, None))
    return connection.chain if connection is not None else ()


def address_of(peer: object) -> str:
    """Whom an address is counted as: of IPv6 the network that one subscriber has, for it has any number of hosts."""
    host = str(peer[0]) if isinstance(peer, (tuple, list)) and peer else ""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
