"""What it costs to know who calls, for each kind of caller: `python -m bench.authentication`.

CPU of one process, of the very calls that a request makes: the credentials opened, the rule asked, the signature
verified and its nonce kept, and the request counted against the caller's rate. A token that was not seen before has to
be decrypted. Beside ours: one verification of ECDSA P-256, which is what a JSON Web Token of somebody else's takes.
What it costs to log in by such a one, once in some hours, comes last (`bench/logins.py`).
"""

from __future__ import annotations

import hashlib
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from bench import logins, report
from central.configuration.settings import ApiToken, Service
from central.records import Identity
from central.serving.rates import Rates
from central.trust import rules
from central.trust.callers import Callers, Nonces
from central.trust.people import People
from central.trust.rules import Caller, PilotCaller, Who
from central.trust.seal import JobToken, Key, KeyRing, PilotToken, Ticket
from pilot import signatures
from pilot.errors import Refusal
from pilot.protocol import JOB_SCHEME, PILOT_SCHEME, TICKET_SCHEME, USER_SCHEME

REQUESTS = 20_000
RUNS = 7
CALLERS = 1000  # of each kind, who send in turn
TARGET = "/v1/pilots/{stamp}/heartbeat"
BODY = b'{"epoch":1,"sequence":7,"state":"running","leases":[' + b'{"job":1,"attempt":1}' * 10 + b"]}"
NOW = 1_800_000_000.0
GOAL = "a signed request ≤ 150 µs"


@dataclass(frozen=True)
class Sent:
    """One request, as far as it says who sends it."""

    authorization: str
    stamp: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of caller: what each of them sends, and whom the route admits."""

    name: str
    who: Who
    sent: Sequence[Sent]
    fresh: bool = False  # every token is seen for the first time


class Door:
    """The part of a central that knows who calls, with nothing remembered."""

    def __init__(self, key: Key, people: Sequence[ApiToken]) -> None:
        self.callers = Callers(KeyRing((key,)), People(people), Nonces(), lambda: NOW)
        self.rates = Rates(Service(), time.monotonic)

    def know(self, kind: Kind, sent: Sent) -> Caller:
        """Whose request that is."""
        caller = self.callers.claimed(sent.authorization)
        rules.admit((kind.who,), caller)
        if isinstance(caller, PilotCaller):
            self.callers.verify(caller, sent.stamp, "POST", _target(sent.stamp), BODY, sent.headers)
        return caller


def main() -> None:
    key = Key("k1", secrets.token_bytes(32), NOW)
    texts = [secrets.token_urlsafe(32) for _ in range(CALLERS)]
    people = [
        ApiToken(f"t{at}", hashlib.sha256(text.encode()).hexdigest(), Identity(f"u{at}", "physics", "muons", "member"))
        for at, text in enumerate(texts)
    ]
    heads = ("who", "known, µs", "least", "greatest", "counted against the rate, µs", "together, µs")
    rows = [_row(kind, key, people) for kind in _kinds(KeyRing((key,)), texts)]
    rows += [_refused(key, people), _row_of("beside ours: ECDSA P-256, verified", _ecdsa(), [0.0] * RUNS)]
    report.table(f"Authentication, CPU of a request, {RUNS} runs of {REQUESTS:,}", heads, rows, GOAL)
    logins.main()


def _kinds(ring: KeyRing, texts: Sequence[str]) -> Iterator[Kind]:
    yield Kind("person, API token", Who.MEMBER, _often([Sent(f"{USER_SCHEME} {text}") for text in texts]))
    stamps = [secrets.token_hex(16) for _ in range(CALLERS)]
    payloads = [JobToken(at, 1, stamp, "physics", NOW + 3600) for at, stamp in enumerate(stamps)]
    for fresh in (False, True):
        seen = ", token seen the first time" if fresh else ""
        pilots = stamps if not fresh else [secrets.token_hex(16) for _ in range(REQUESTS)]
        yield Kind(f"pilot, signed{seen}", Who.PILOT, _signed(ring, pilots), fresh)
        jobs = payloads if not fresh else [JobToken(at, 1, "0" * 32, "physics", NOW + 3600) for at in range(REQUESTS)]
        sent = _often([Sent(f"{JOB_SCHEME} {ring.seal(job)}") for job in jobs])
        yield Kind(f"payload{seen}", Who.PAYLOAD, sent, fresh)
        sent = _often([Sent(f"{TICKET_SCHEME} {ring.seal(Ticket(stamp))}") for stamp in pilots])
        yield Kind(f"boot log's ticket{seen}", Who.TICKET, sent, fresh)


def _often(sent: Sequence[Sent]) -> Sequence[Sent]:
    return [sent[at % len(sent)] for at in range(REQUESTS)]


def _signed(ring: KeyRing, stamps: Sequence[str]) -> Sequence[Sent]:
    """Requests of these pilots in turn, each with a signature of its own."""
    held: dict[str, tuple[bytes, str]] = {}
    for stamp in stamps:
        key = secrets.token_bytes(32)
        held[stamp] = key, f"{PILOT_SCHEME} {ring.seal(PilotToken(stamp, 1, key, NOW, NOW + 3600))}"
    found = []
    for at in range(REQUESTS):
        stamp = stamps[at % len(stamps)]
        key, token = held[stamp]
        signed = signatures.sign(
            key, "POST", _target(stamp), BODY, token, keyid=stamp, created=int(NOW), nonce=secrets.token_urlsafe(12)
        )
        found.append(Sent(token, stamp, {name.lower(): value for name, value in signed.items()}))
    return found


def _target(stamp: str) -> str:
    return TARGET.format(stamp=stamp)


def _row(kind: Kind, key: Key, people: Sequence[ApiToken]) -> tuple[object, ...]:
    known, counted = [], []
    for _ in range(RUNS):
        door = Door(key, people)
        if not kind.fresh:  # those who called before; each signature is taken once
            for sent in {one.authorization: one for one in kind.sent}.values():
                door.callers.claimed(sent.authorization)
        callers: list[Caller] = []
        known.append(_spent(lambda: callers.extend([door.know(kind, sent) for sent in kind.sent])))  # noqa: B023
        counted.append(_spent(lambda: _each(door.rates.admit, callers)))  # noqa: B023
    return _row_of(kind.name, known, counted)


def _refused(key: Key, people: Sequence[ApiToken]) -> tuple[object, ...]:
    """Somebody who tries one token after another."""
    guesses = [f"{USER_SCHEME} {secrets.token_urlsafe(32)}" for _ in range(REQUESTS)]
    known, counted = [], []
    for _ in range(RUNS):
        door = Door(key, people)
        refusals: list[Refusal] = []

        def guess() -> None:
            for text in guesses:
                try:
                    door.callers.claimed(text)  # noqa: B023
                except Refusal as refusal:
                    refusals.append(refusal)  # noqa: B023

        known.append(_spent(guess))
        counted.append(_spent(lambda: [door.rates.failed("192.0.2.1", refusal) for refusal in refusals]))  # noqa: B023
    return _row_of("nobody, a token that is guessed", known, counted)


def _ecdsa() -> list[float]:
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(BODY, ec.ECDSA(hashes.SHA256()))
    public, how = key.public_key(), ec.ECDSA(hashes.SHA256())
    return [_spent(lambda: [public.verify(signature, BODY, how) for _ in range(REQUESTS)]) for _ in range(RUNS)]


def _each(count: Callable[[Caller], None], callers: Sequence[Caller]) -> None:
    for caller in callers:
        count(caller)


def _spent(work: Callable[[], object]) -> float:
    """CPU of one of so many requests, in microseconds."""
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1e6 / REQUESTS


def _row_of(name: str, known: Sequence[float], counted: Sequence[float]) -> tuple[object, ...]:
    together = [one + two for one, two in zip(known, counted, strict=True)]
    return (name, *report.spread(known, ".1f"), *(f"{statistics.median(one):.1f}" for one in (counted, together)))


if __name__ == "__main__":
    main()
