"""Asking for jobs while jobs run: a request may wait at the central, and a newer one takes its place."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

from commands.context import Central, Faults
from pilot.errors import PilotageError
from pilot.protocol import MatchReply, Offer

#: A request that is younger than this will be answered by itself; replacing it could only earn jobs for the same
#: cores twice.
SETTLED = 0.5  # seconds


class Asking:
    """Asks in threads of its own and calls `wake` with each answer. Used from one thread."""

    def __init__(self, central: Central, wake: Callable[[], None]) -> None:
        self.central = central
        self.wake = wake
        self.lock = threading.Lock()
        self.answers: list[Answer] = []
        self.waiting = 0

    def ask(self, offer: Offer, wait: float, now: float) -> None:
        """Send a request; an older one that still waits is superseded by it."""
        with self.lock:
            self.waiting += 1
        try:
            threading.Thread(target=self._ask, args=(offer, wait, now), name="match", daemon=True).start()
        except RuntimeError as error:  # a payload may have used up what processes this user may have
            self._answer(Answer(MatchReply(0, detail=f"no thread for a match request: {error}"), offer, wait, now))

    def pending(self) -> bool:
        """Whether an answer is still to come."""
        with self.lock:
            return self.waiting > 0

    def take(self) -> list[Answer]:
        """The answers that have come since the last call."""
        with self.lock:
            answers, self.answers = self.answers, []
            return answers

    def _ask(self, offer: Offer, wait: float, now: float) -> None:
        try:
            reply = self.central.match(offer, max(1, offer.cores), wait)
        except PilotageError as error:
            reply = MatchReply(0, detail=str(error))
        self._answer(Answer(reply, offer, wait, now))

    def _answer(self, answer: Answer) -> None:
        with self.lock:
            self.waiting -= 1
            self.answers.append(answer)
        self.wake()


@dataclass(frozen=True)
class Answer:
    """A reply, and what had been asked when."""

    reply: MatchReply
    offer: Offer
    wait: float  # seconds
    asked: float  # by the clock of whoever asked


@dataclass(frozen=True)
class Pace:
    """When to ask next. Pure: each event makes a new one."""

    not_before: float = 0.0
    failures: int = 0  # empty answers in a row that came at once
    fits_change: bool = True  # whether another offer might get another answer before that
    asked: Optional[Offer] = None  # the offer of the newest request
    asked_at: float = 0.0
    faults: Faults = field(default_factory=Faults)  # of the node, as far as they were seen
    rests_until: float = 0.0  # because of them

    def asking(self, offer: Offer, now: float) -> Pace:
        """A request goes out."""
        return replace(self, asked=offer, asked_at=now)

    def answered(self, answer: Answer, now: float, random: float, started: int) -> Pace:
        """An answer has come in, and so many jobs of it were started.

        One that was held for as long as it might be is followed by the next at once. After others, and after jobs of
        which none could be started, the waits grow, and are never shorter than the central asks for.
        """
        reply = answer.reply
        if started or reply.reason == "superseded":
            return replace(self, not_before=0.0, failures=0, fits_change=True)
        held = not reply.leases and answer.wait > 0 and now - answer.asked >= answer.wait / 2
        failures = 0 if held else self.failures + 1
        pause = spread(reply.retry_after, random)
        if not held:
            pause = max(pause, backoff(failures, random))
        fits_change = bool(reply.leases) or reply.reason == "nothing-fits"
        return replace(self, not_before=now + pause, failures=failures, fits_change=fits_change)

    def seen(self, faults: Faults, now: float, random: float) -> Pace:
        """Attempts may have ended: after faults of the node it rests, longer after each, so that a job which fails here
        does not come back at once. After any other end it does not."""
        if faults == self.faults:
            return self
        return replace(self, faults=faults, rests_until=now + backoff(faults.row, random) if faults.row else 0.0)

    def may_ask(self, offer: Offer, pending: bool, now: float) -> bool:
        """Whether to send a request now."""
        if now < self.rests_until:
            return False
        changed = self.asked is None or shape(offer) != shape(self.asked)
        if pending:
            return changed and now - self.asked_at >= SETTLED
        return now >= self.not_before or (changed and self.fits_change)

    def next_turn(self, pending: bool, now: float) -> float:
        """Seconds after which `may_ask` may answer otherwise, should nothing else happen."""
        until = max(self.rests_until, self.asked_at + SETTLED if pending else self.not_before)
        return max(0.05, until - now) if until > now else 1.0


def backoff(failures: int, random: float, *, first: float = 1.0, most: float = 60.0) -> float:
    """Seconds to wait after so many failures in a row: doubling up to `most`, spread by a random number from 0 to 1.

    At least half of the doubled time, so that nobody hammers; the rest at random, so that not all come at once.
    """
    ceiling = min(most, first * 2.0 ** min(failures - 1, 30))
    return ceiling * (0.5 + 0.5 * random)


def spread(seconds: float, random: float) -> float:
    """The time that somebody asked us to wait, and up to a fifth more."""
    return seconds * (1.0 + 0.2 * random)


def shape(offer: Offer) -> tuple[object, ...]:
    """What of an offer is worth another request; free disk and time change all the while."""
    return offer.cores, offer.memory, offer.gpus, offer.empty
