"""Who is calling: tokens opened, signatures verified, captured requests refused."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

from central.records import Identity
from central.trust.people import People
from central.trust.rules import Caller, PayloadCaller, PilotCaller, TicketCaller
from central.trust.seal import JobToken, KeyRing, PilotToken, Ticket
from pilot import signatures
from pilot.errors import Refusal
from pilot.protocol import JOB_SCHEME, PILOT_SCHEME, TICKET_SCHEME, USER_SCHEME

#: Nonces are kept for as long as a signature could pass: its age may be off both ways.
_WINDOW = 2 * signatures.MAX_AGE
#: A bound on memory (some 150 bytes each); more signed requests than this in one window are refused as busy.
MAX_NONCES = 1_000_000
#: Seconds by which a signature that was just made may seem older: its time is in whole ones, and a clock learnt.
ROUNDED = 2.0
_MAX_TOKEN = 4096


class Nonces:
    """Every nonce of the last window. Two sets that change places, so that forgetting costs nothing.

    `age`: seconds since they are remembered, by a clock that never steps.
    """

    def __init__(self, age: Callable[[], float] = lambda: math.inf) -> None:
        self._age = age
        self._since = 0.0
        self._recent: set[str] = set()
        self._older: set[str] = set()

    def reach(self, created: float, now: float) -> None:
        """Whether a nonce of that time would be known. Raises ``clock-skew`` for a signature from before a restart,
        which may have been heard then: who signs anew is heard."""
        if now - created > self._age() + ROUNDED:
            raise Refusal(
                "clock-skew", f"the signature, made at {created:.0f}, is older than this central", server_time=now
            )

    def take(self, nonce: str, now: float) -> None:
        """Use a nonce up. Raises ``replayed``, or ``busy`` when there are more than can be kept."""
        if now - self._since > _WINDOW:
            self._older = self._recent if now - self._since <= 2 * _WINDOW else set()
            self._recent = set()
            self._since = now
        if nonce in self._recent or nonce in self._older:
            raise Refusal("replayed", "this very request was sent before; sign every request anew")
        if len(self._recent) >= MAX_NONCES:
            raise Refusal("busy", "too many signed requests to remember them all", retry_after=10.0)
        self._recent.add(nonce)


class Callers:
    """Tells who sent a request."""

    def __init__(self, ring: KeyRing, people: People, nonces: Nonces, clock: Callable[[], float]) -> None:
        self.people = people
        self._ring = ring
        self._nonces = nonces
        self._clock = clock

    def claimed(self, authorization: str | None) -> Caller:
        """Open the credentials of the Authorization header; of a pilot, the signature is not checked yet.

        Raises ``unauthorized``. Nothing sent: None.
        """
        if not authorization:
            return None
        scheme, _, credentials = authorization.partition(" ")
        if len(credentials) > _MAX_TOKEN:
            raise Refusal("unauthorized", f"expected a token of at most {_MAX_TOKEN} characters")
        now = self._clock()
        if scheme == PILOT_SCHEME:
            token = self._ring.open(PilotToken, credentials)
            return PilotCaller(token, aged=now > token.expires)
        if scheme == JOB_SCHEME:
            job = self._ring.open(JobToken, credentials)
            if now > job.expires:
                raise Refusal("unauthorized", "the payload's token has expired")
            return PayloadCaller(job)
        if scheme == TICKET_SCHEME:
            return TicketCaller(self._ring.open(Ticket, credentials))
        if scheme.lower() == USER_SCHEME.lower():
            return self._person(credentials)
        known = ", ".join((PILOT_SCHEME, JOB_SCHEME, TICKET_SCHEME, USER_SCHEME))
        got = repr(scheme) if credentials and scheme.isalpha() and len(scheme) <= 12 else "none"  # it may be a token
        raise Refusal("unauthorized", f"expected an Authorization of one of {known}, got {got}")

    def _person(self, token: str) -> Identity:
        return self.people.known(hashlib.sha256(token.encode()).hexdigest(), self._clock())

    def still(self, caller: Caller) -> bool:
        """Whether somebody whose request goes on for long may still be answered."""
        return self.people.still(caller, self._clock())

    def verify(
        self, caller: PilotCaller, stamp: str | None, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> None:
        """Hold a pilot to its signature. `stamp` is the one in the path, if there is one; `target` path and query.

        Raises ``bad-signature``, ``clock-skew``, ``replayed``, ``forbidden`` or ``revoked``.
        """
        now = self._clock()
        token = caller.token
        signed = signatures.read(headers)
        if signed.keyid != token.stamp:
            raise Refusal("bad-signature", f"the signature's keyid is {signed.keyid}, the token is of {token.stamp}")
        signatures.verify(signed, token.key, method, target, body, headers, now=now)
        self._nonces.reach(signed.created, now)
        self._nonces.take(f"{token.stamp}{signed.nonce}", now)
        if stamp is not None and stamp != token.stamp:
            raise Refusal("forbidden", f"pilot {token.stamp} cannot speak for pilot {stamp}")
        if token.heard_until is not None and now > token.heard_until:
            raise Refusal("revoked", "this pilot's end of life is long past")
