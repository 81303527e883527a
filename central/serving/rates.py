"""How often somebody may ask: token buckets in memory, for each person, each pilot, and the failures of each address.

What is said is an average over a minute: who has been quiet may send a minute's worth at once. Each process counts for
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from central.configuration.settings import Service
from central.records import Identity
from central.trust.rules import Caller, PayloadCaller, PilotCaller
from pilot.errors import Refusal
from pilot.protocol import Amount

#: Seconds that a full bucket lasts at the rate.
SPAN = 60.0
#: A bound on memory (some 200 bytes each): with more callers than this in one span, those seen first are forgotten.
MAX_CALLERS = 200_000
#: Refusals of those who try what is not theirs, or have lost what was.
FAILURES = frozenset({"unauthorized", "bad-signature", "replayed", "secret-used", "secret-expired", "superseded"})


class Buckets:
    """One bucket for each caller, as the time at which it will be full again. Two generations, of which the older is
    forgotten: whoever has not asked for a span has a full one."""

    def __init__(self, rate: Amount) -> None:
        self._step = 1.0 / rate if isinstance(rate, int) and rate > 0 else 0.0  # seconds; 0: no limit
        self._since = 0.0
        self._recent: dict[Hashable, float] = {}
        self._older: dict[Hashable, float] = {}

    def take(self, caller: Hashable, now: float) -> float:
        """Take one out. Returns 0, or the seconds until there is one again."""
        step = self._step
        if not step:
            return 0.0
        full = self._recent.get(caller)
        if full is None:
            full = self._older.get(caller, now)
        if full < now:
            full = now
        if full - now > SPAN - step:
            return full - now - SPAN + step
        if now - self._since > SPAN or len(self._recent) >= MAX_CALLERS:
            self._since, self._older, self._recent = now, self._recent, {}
        self._recent[caller] = full + step
        return 0.0

    def empty(self, caller: Hashable, now: float) -> float:
        """The seconds until there is one; 0: there is."""
        full = self._recent.get(caller) or self._older.get(caller, now)
        return max(0.0, full - now - SPAN + self._step)


class Rates:
    """What the settings allow to whom."""

    def __init__(self, service: Service, clock: Callable[[], float]) -> None:
        self._people = Buckets(service.person_rate)
        self._pilots = Buckets(service.pilot_rate)
        self._failures = Buckets(service.failure_rate)
        self._clock = clock
        self._said = {"person": service.person_rate, "pilot": service.pilot_rate, "address": service.failure_rate}

    def admit(self, caller: Caller) -> None:
        """Count the request of a caller whose credentials are good. Raises ``too-many``."""
        if isinstance(caller, Identity):
            wait = self._people.take((caller.community, caller.user), self._clock())
            kind = "person"
        else:
            kind = "pilot"
            if isinstance(caller, PilotCaller):
                wait = self._pilots.take(caller.token.stamp, self._clock())
            elif isinstance(caller, PayloadCaller):
                wait = self._pilots.take((caller.token.job, caller.token.attempt), self._clock())
            elif caller is not None:
                wait = self._pilots.take(("ticket", caller.token.stamp), self._clock())
            else:
                return
        if wait:
            raise self._too_many(kind, wait, "requests")

    def admit_stranger(self, address: str) -> None:
        """Before anything is looked up for one without credentials. Raises ``too-many``."""
        if wait := self._failures.empty(address, self._clock()):
            raise self._too_many("address", wait, "failures")

    def failed(self, address: str, refusal: Refusal) -> Refusal:
        """Count a refusal, if it is a failure; what is answered."""
        if refusal.type in FAILURES and (wait := self._failures.take(address, self._clock())):
            return self._too_many("address", wait, "failures")
        return refusal

    def _too_many(self, kind: str, wait: float, what: str) -> Refusal:
        expected = f"{self._said[kind]} {what} a second"
        return Refusal(
            "too-many", f"one {kind} may send {expected}, over a minute", retry_after=wait, expected=expected
        )
