"""Delivers many outputs, a few at a time: to the first of their destinations that takes them, in rounds until all have
one, none is left to any, or there is no more time.

A destination that is away or full is passed over for the rest of the round: ten thousand outputs do not wait for it one
after another. What nobody took waits on the node for the next round.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Callable, Optional

from pilot.attempts.carrier import Carrier
from pilot.attempts.parcels import Parcel
from pilot.backoff import Backoff
from pilot.destination import SANDBOX
from pilot.destinations.port import NotAllowed, Pause, Rejected, Unavailable
from pilot.errors import Refusal, TransportError
from pilot.persist import Stopped, again

#: Outputs on their way at the same time.
LANES = 4
#: Tries of one output at one destination in a round, and seconds after which there is no further one.
TRIES, TRY_TIME = 4, 180.0
#: Outputs in a row that a destination fails before it is taken for away.
STRIKES = 2
#: Seconds for which storages other than the central's are tried. That one waits until the pilot ends.
PATIENCE = 2 * 3600.0
#: The most seconds between two rounds.
LONGEST = 60.0


class Rounds:
    """For the outputs of one attempt. `pause` waits between tries, and says whether to stop; `tell` hears what is tried
    again, and why."""

    def __init__(
        self,
        carrier: Carrier,
        parcels: Sequence[Parcel],
        pause: Pause,
        steady: Callable[[], float],
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.carrier = carrier
        self.parcels = parcels
        self.pause = pause
        self.steady = steady
        self.tell = tell
        self._lock = threading.Lock()
        self._strikes: dict[str, int] = {}  # origin → outputs in a row that it failed
        self._down: dict[str, str] = {}  # origin → why it is passed over in this round
        self._wait = 0.0  # seconds, as a destination asked for
        self._stopped: Optional[Stopped] = None

    def run(self) -> Optional[Stopped]:
        """Returns how it was stopped, should it be: then what is left is told of as such."""
        backoff = Backoff(self.carrier.random, first=2.0, most=LONGEST)
        end = self.steady() + PATIENCE
        while True:
            self._round([parcel for parcel in self.parcels if parcel.waits])
            if self._stopped is None and self.steady() >= end:
                for parcel in self.parcels:
                    if parcel.waits and SANDBOX not in parcel.left:
                        parcel.give_up(f"it was tried for {PATIENCE / 3600:.0f} hours")
            waiting = [parcel for parcel in self.parcels if parcel.waits]
            if not waiting:
                return None
            if self._stopped is None:
                seconds = _bounded(backoff.failed(self._wait), end - self.steady())
                self.tell(self._waiting(waiting, seconds))
                if self.pause(seconds):
                    self._stopped = Stopped(None)
            if self._stopped is not None:
                for parcel in waiting:
                    parcel.give_up(str(self._stopped))
                return self._stopped

    def _round(self, waiting: Sequence[Parcel]) -> None:
        self._down.clear()
        self._strikes.clear()
        self._wait = 0.0
        left = iter(waiting)

        def lane() -> None:
            while self._stopped is None:
                with self._lock:
                    parcel = next(left, None)
                if parcel is None:
                    return
                self._deliver(parcel)

        in_lanes(lane, min(LANES, len(waiting)))

    def _deliver(self, parcel: Parcel) -> None:
        """Bring it to the first destination that takes it."""
        try:
            for destination in list(parcel.left):
                if self._reach(parcel, destination):
                    return
        except OSError as error:
            parcel.failures.clear()
            parcel.readable = False
            parcel.left[1:] = []
            parcel.reject(parcel.left[0], f"it cannot be read: {error.strerror or error}")
        except Stopped as stopped:
            self._stopped = self._stopped or stopped

    def _reach(self, parcel: Parcel, destination: str) -> bool:
        """Try one destination, a few times. Whether it is there. Raises `OSError`, `Stopped`."""
        origin = self.carrier.origin(destination)
        backoff = Backoff(self.carrier.random)
        end = self.steady() + TRY_TIME
        for turn in range(1, TRIES + 1):
            if origin in self._down:
                parcel.failures.setdefault(destination, self._down[origin])
                return False
            if self.pause(0):
                raise Stopped(None)
            parcel.tries += 1
            try:
                parcel.delivered = self.carrier.deliver(parcel, destination, self.pause)
            except Rejected as problem:
                parcel.denied = parcel.denied or isinstance(problem, NotAllowed)
                parcel.reject(destination, str(problem))
                return False
            except (TransportError, Refusal) as problem:
                if isinstance(problem, Refusal) and not problem.transient:
                    parcel.reject(destination, str(problem))
                    return False
                last = turn == TRIES or self.steady() >= end or isinstance(problem, Unavailable)
                parcel.failures[destination] = str(problem)
                if last:
                    self._failed(origin, problem)
                    return False
                seconds = _bounded(backoff.failed(getattr(problem, "retry_after", None)), end - self.steady())
                self.tell(again(f"to {parcel.address(destination)}", str(problem), parcel.tries, seconds))
                if self.pause(seconds):
                    raise Stopped(problem) from problem
            else:
                parcel.failures.pop(destination, None)
                self._strikes.pop(origin, None)
                return True
        return False

    def _waiting(self, waiting: Sequence[Parcel], seconds: float) -> str:
        """What is not anywhere yet, and when it is tried again."""
        first = waiting[0]
        more = f" and {len(waiting) - 1:,} more" if len(waiting) > 1 else ""
        return again(f"to {first.address(first.left[0])}{more}", first.why, first.tries, seconds)

    def _failed(self, origin: str, problem: Exception) -> None:
        """An output was tried there as often as it is worth."""
        with self._lock:
            self._strikes[origin] = self._strikes.get(origin, 0) + 1
            if isinstance(problem, Unavailable) or self._strikes[origin] >= STRIKES:
                self._down[origin] = str(problem)
            self._wait = max(self._wait, getattr(problem, "retry_after", None) or 0.0)


def _bounded(seconds: float, left: float) -> float:
    """A wait, as long as a storage asks for, but neither longer than is waited here nor than there is time."""
    return min(seconds, LONGEST, left) if left > 0 else min(seconds, LONGEST)


def in_lanes(lane: Callable[[], None], count: int) -> None:
    """Do it here and in other threads at the same time, as far as there are any to be had. Raises what one raised."""
    problems: list[BaseException] = []

    def guarded() -> None:
        try:
            lane()
        except BaseException as problem:  # noqa: BLE001 - it is raised where somebody waits for it
            problems.append(problem)

    helpers = [threading.Thread(target=guarded, daemon=True) for _ in range(count - 1)]
    started = []
    for helper in helpers:
        try:
            helper.start()
        except RuntimeError:  # no more threads for this user: it takes longer
            break
        started.append(helper)
    guarded()
    for helper in started:
        helper.join()
    if problems:
        raise problems[0]
