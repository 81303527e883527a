"""How often somebody may ask: token buckets in memory, for each person, each pilot, and the failures of each address.

What is said is an average over a minute: who has been quiet may send a minute's worth at once.

Each process counts, and where several serve over one database each tells the others, once a second, who has taken more
than an eighth of what is allowed in it: these count it as if it had been taken there. So whoever spreads over N of them
gets some 1 + N/8 times what is said, and of everybody else nothing is told. A part of it for each process would be
simpler, and wrong: pilots and clients keep one connection, which is to one process, and are to have there what is said.

While an address fails too often, whoever shows no credentials there is not even looked at, but for pilots that enrol:
behind one address may be a whole site, of which one machine goes wrong. What an enrolment carries is a credential too,
a secret of 32 random bytes. Guessing it is hopeless however often somebody may try; the limit is there for what trying
costs. So an enrolment from such an address is held against the store by one reading, and goes its way when its secret
lets a pilot in now; any other is refused as before, with nothing written. These readings have a bound of their own for
each address, far above what clients come to that go wrong. Stamps are no secret, batch systems list them: nothing is
counted by stamp, or whoever knows one could keep its pilot out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable

from central.configuration.settings import Service
from central.records import Identity
from central.several.gossip import Spent
from central.trust.rules import Caller, PayloadCaller, PilotCaller
from pilot.errors import Refusal
from pilot.protocol import Amount

#: Seconds that a full bucket lasts at the rate.
SPAN = 60.0
#: A bound on memory (some 200 bytes each): with more callers than this in one span, those seen first are forgotten.
MAX_CALLERS = 200_000
#: Enrolments that are looked at of an address that fails too often: so many times what it may fail.
LOOKS = 10
#: Part of what is allowed between two words to the others that is not told; callers that are told of each time, those
#: that took most; seconds from one to the next.
UNTOLD, MOST_TOLD, TOLD = 1 / 8, 100, 1.0
#: Refusals of those who try what is not theirs, or have lost what was.
FAILURES = frozenset({"unauthorized", "bad-signature", "replayed", "secret-used", "secret-expired", "superseded"})


class Buckets:
    """One bucket for each caller, as the time at which it will be full again. Two generations, of which the older is
    forgotten: whoever has not asked for a span has a full one. `counts`: also for others, who are told."""

    def __init__(self, rate: Amount, counts: bool = False) -> None:
        self._step = 1.0 / rate if isinstance(rate, int) and rate > 0 else 0.0  # seconds; 0: no limit
        self._taken: Counter[Hashable] | None = Counter() if counts and self._step else None
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
        if self._taken is not None:
            self._taken[caller] = self._taken.get(caller, 0) + 1
        return 0.0

    def told(self) -> list[tuple[Hashable, int]]:
        """Who took more than others have to hear of since this was asked last, and how often."""
        if not self._taken:
            return []
        taken, self._taken = self._taken, Counter()
        least = UNTOLD * TOLD / self._step
        return [(caller, times) for caller, times in taken.most_common(MOST_TOLD) if times > least]

    def hear(self, caller: Hashable, times: int, now: float) -> None:
        """Somebody has taken so many elsewhere, which may be more than there were: that has to be made up for."""
        if not self._step or (len(self._recent) >= MAX_CALLERS and caller not in self._recent):
            return
        full = max(now, self._recent.get(caller) or self._older.get(caller, now))
        self._recent[caller] = min(full + times * self._step, now + 2 * SPAN)

    def empty(self, caller: Hashable, now: float) -> float:
        """The seconds until there is one; 0: there is."""
        full = self._recent.get(caller) or self._older.get(caller, now)
        return max(0.0, full - now - SPAN + self._step)


class Rates:
    """What the settings allow to whom."""

    def __init__(self, service: Service, clock: Callable[[], float], alone: bool = True) -> None:
        self._people = Buckets(service.person_rate, not alone)
        self._pilots = Buckets(service.pilot_rate, not alone)
        failures = service.failure_rate
        self._failures = Buckets(failures, not alone)
        self._shared = {"person": self._people, "pilot": self._pilots, "address": self._failures}
        self._looks = Buckets(LOOKS * failures if isinstance(failures, int) else failures)
        self._clock = clock
        self._said = {"person": service.person_rate, "pilot": service.pilot_rate, "address": failures}

    def admit(self, caller: Caller) -> None:
        """Count the request of a caller whose credentials are good. Raises ``too-many``."""
        if isinstance(caller, Identity):
            wait = self._people.take((caller.community, caller.user), self._clock())
            kind = "person"
        else:
            kind = "pilot"
            if isinstance(caller, PilotCaller):
                wait = self._pilots.take((caller.token.stamp,), self._clock())
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
        if wait := self._failures.empty((address,), self._clock()):
            raise self._too_many("address", wait, "failures")

    async def admit_enrolment(self, address: str, good: Callable[[], Awaitable[bool]]) -> None:
        """The same for a pilot that enrols; `good` looks whether what it shows would let it in. Raises ``too-many``."""
        now = self._clock()
        wait = self._failures.empty((address,), now)
        if wait and (self._looks.take((address,), now) or not await good()):
            raise self._too_many("address", wait, "failures")

    def failed(self, address: str, refusal: Refusal) -> Refusal:
        """Count a refusal, if it is a failure; what is answered."""
        if refusal.type in FAILURES and (wait := self._failures.take((address,), self._clock())):
            return self._too_many("address", wait, "failures")
        return refusal

    def told(self) -> list[Spent]:
        """What others over the same database are to hear of, once."""
        return [
            Spent(kind, who, times)
            for kind, buckets in self._shared.items()
            for who, times in buckets.told()
            if isinstance(who, tuple)
        ]

    def hear(self, word: Spent) -> None:
        """Count what another has told."""
        if (buckets := self._shared.get(word.kind)) is not None:
            buckets.hear(word.who, word.times, self._clock())

    def _too_many(self, kind: str, wait: float, what: str) -> Refusal:
        expected = f"{self._said[kind]} {what} a second"
        return Refusal(
            "too-many", f"one {kind} may send {expected}, over a minute", retry_after=wait, expected=expected
        )
