"""Asks the central for credentials of running attempts that their owners have set anew, and passes them on.

It asks when half of the life is over that the first of them has left, once an hour in any case, and at once when a
heartbeat's answer has named an attempt. What was asked and not answered is asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Callable, Optional

from pilot import messages
from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError
from pilot.masking import Secrets, owner
from pilot.monitor.central_client import CentralClient
from pilot.monitor.steadfast import steadfast
from pilot.protocol import Credential, CredentialVersions, Lease
from pilot.renewals import MAX_ATTEMPTS, CredentialsReply, CredentialsRequest, NewerCredentials

Attempt = tuple[int, int]  # job and attempt

#: Seconds between two questions: the most, and the least where nobody said that there is something new.
HOUR, LEAST = 3600.0, 60.0
#: And between two while an attempt has one that is over: what makes newer ones may have been away.
OVER = 300.0
#: Seconds until an attempt that was leased is surely at its agent.
SETTLED = 5.0
#: Seconds of the first back-off after a failure, and of the longest.
FIRST_RETRY, LAST_RETRY = 1.0, 300.0


@dataclass(frozen=True)
class Held:
    """One credential of an attempt, without what is secret. `ends` by the monotonic clock."""

    version: str
    ends: Optional[float] = None


@dataclass
class Holder:
    """One attempt that has some."""

    since: float
    has: dict[str, Held]
    told: dict[str, str] = field(default_factory=dict)  # name → version that was asked for because it was told of


def held(credential: Credential, now: float) -> Held:
    left = credential.seconds_left
    return Held(credential.version, None if left is None else now + left)


def wait(lives: Iterable[Held], now: float, chance: float) -> float:
    """Seconds until these are asked for: spread over a fifth, so that many pilots do not ask in one moment."""
    left = [one.ends - now for one in lives if one.ends is not None]
    due = [each / 2 if each > 0 else OVER for each in left]
    return max(LEAST, min([HOUR, *due]) * (1.0 - 0.2 * chance))


def _behind(holder: Holder, told: CredentialVersions) -> bool:
    """Whether it has something of another version than is told, for which nobody asked yet."""
    return any(
        name in holder.has and version not in (holder.has[name].version, holder.told.get(name))
        for name, version in told.versions.items()
    )


class Renewing:
    """Of one pilot. `turn` is for its own thread, all else may come from any.

    `tell` passes on what an attempt gets; `refused` hears each refusal.
    """

    def __init__(
        self,
        client: CentralClient,
        secrets: Secrets,
        *,
        tell: Callable[[messages.Renewed], None],
        refused: Callable[[Refusal], None],
        steady: Callable[[], float],
        rng: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.client = client
        self.secrets = secrets
        self.tell = tell
        self.refused = refused
        self.steady = steady
        self.rng = rng
        self.say = say
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._holders: dict[Attempt, Holder] = {}
        self._next = float("inf")  # when to ask
        self._unknown = False  # the central knows no such question
        self._backoff = Backoff(rng, FIRST_RETRY, LAST_RETRY)

    # -- what is held -------------------------------------------------------------------------------------------------

    def leased(self, lease: Lease) -> None:
        """Before its agent has it."""
        if not lease.credentials:
            return
        now = self.steady()
        has = {one.name: held(one, now) for one in lease.credentials}
        with self._lock:
            self._holders[lease.job, lease.attempt] = Holder(now, has)
            self._next = min(self._next, now + wait(has.values(), now, self.rng()))
        self._news.set()

    def over(self, job: int, attempt: int) -> None:
        """Nothing comes for it any more. To be called before its secrets are forgotten."""
        with self._lock:
            self._holders.pop((job, attempt), None)

    def hear(self, told: Iterable[CredentialVersions]) -> None:
        """What a heartbeat's answer has named; a central that speaks of it can be asked for it."""
        with self._lock:
            for one in told:
                self._unknown = False
                holder = self._holders.get((one.job, one.attempt))
                if holder is not None and _behind(holder, one):
                    holder.told.update(one.versions)
                    self._next = min(self._next, max(self.steady(), holder.since + SETTLED))
                    self._news.set()

    # -- asking -------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Until told to stop, and woken then."""
        while not stop.is_set():
            self._news.clear()
            rest = steadfast("the renewal of credentials", self.turn, self.say)
            # To an absent central news are no reason to hurry.
            (stop if self._backoff.failures else self._news).wait(rest)

    def wake(self) -> None:
        self._news.set()

    def turn(self) -> float:
        """Ask if it is time. Returns the seconds until the next look."""
        with self._lock:
            now = self.steady()
            if self._unknown or now < self._next:
                return HOUR if self._unknown else min(HOUR, self._next - now)
            asked = self._question(now)
            self._next = self._early(now)  # whoever is leased, or told of, from now on is for another question
        if not asked:
            return self._next_at(self._settled())
        try:
            return self._ask(asked)
        except Exception:
            # Told by whoever takes the turns; it is asked again all the same.
            self._next_at(self.steady() + LEAST)
            raise

    def _ask(self, asked: tuple[CredentialVersions, ...]) -> float:
        try:
            reply = self.client.credentials(CredentialsRequest(asked))
        except TransportError as error:
            return self._failed(f"no central said which credentials are newer: {error}")
        except Refusal as refusal:
            return self._refused(refusal)
        self._backoff.succeeded()
        return self._taken(reply)

    def _question(self, now: float) -> tuple[CredentialVersions, ...]:
        asked = [
            CredentialVersions(job, attempt, {name: one.version for name, one in holder.has.items()})
            for (job, attempt), holder in self._holders.items()
            if now >= holder.since + SETTLED
        ]
        return tuple(asked[:MAX_ATTEMPTS])

    def _early(self, now: float) -> float:
        """When those can be asked for that were told of before their agent surely had them."""
        settle = (holder.since + SETTLED for holder in self._holders.values() if holder.told)
        return min((at for at in settle if at > now), default=float("inf"))

    def _settled(self) -> float:
        with self._lock:
            return min((holder.since + SETTLED for holder in self._holders.values()), default=float("inf"))

    def _next_at(self, at: float) -> float:
        with self._lock:
            self._next = min(self._next, at)
            return max(0.0, min(HOUR, self._next - self.steady()))

    def _failed(self, what: str, retry_after: Optional[float] = None) -> float:
        if self._backoff.failures in (0, 10):
            self.say(what)
        return self._next_at(self.steady() + self._backoff.failed(retry_after))

    def _refused(self, refusal: Refusal) -> float:
        self.refused(refusal)
        if refusal.type == "not-found":
            with self._lock:
                self._unknown = True
            self.say("the central does not renew credentials: attempts keep what they were given")
            return HOUR
        what = f"the question for newer credentials was refused ({refusal.type}): {refusal}"
        # What was asked for may have been lost: the next heartbeat's answer says so.
        return self._failed(what, refusal.retry_after if refusal.transient else LEAST)

    def _taken(self, reply: CredentialsReply) -> float:
        took = [self._take(newer) for newer in reply.attempts]
        now = self.steady()
        with self._lock:
            lives = [one for holder in self._holders.values() for one in holder.has.values()]
        if not lives:
            return self._next_at(float("inf"))
        return self._next_at(now if reply.more and any(took) else now + wait(lives, now, self.rng()))

    def _take(self, newer: NewerCredentials) -> bool:
        """Pass on what an attempt gets, once it is known to be secret. Whether it has any of that."""
        now = self.steady()
        with self._lock:
            holder = self._holders.get((newer.job, newer.attempt))
            credentials = tuple(one for one in newer.credentials if holder is not None and one.name in holder.has)
            if holder is None or not credentials:
                return False
            holder.has.update({one.name: held(one, now) for one in credentials})
            secrets = [secret for one in credentials for secret in one.secrets]
            # Within the lock: whoever ends the attempt forgets what is known of it by then.
            self.secrets.renew(owner(newer.job, newer.attempt), secrets)
        names = ", ".join(one.name for one in credentials)
        self.say(f"job {newer.job} attempt {newer.attempt} has newer credentials: {names}")
        self.tell(messages.Renewed(newer.job, newer.attempt, credentials))
        return True
