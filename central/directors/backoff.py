"""Whether a queue may be tried now, by how its last pilots ended and what its computing element refused: a
pure decision.

Each failure shuts the queue for a while, longer after each. When that is over a single pilot goes ahead as a probe, and
its success opens the queue again. What an operator ordered is no failure. Pilots that were on their way together fail
as one: none of them was sent in the knowledge of the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from central.elements.port import Trouble
from pilot.catalogue import BackOff, entry
from pilot.codes import of_pilot
from pilot.states import SITE_DRAINS, PilotReason
from pilot.units import show_duration

#: Seconds of pause after the first bad end; doubled with each further one, up to the cap.
PAUSE = 10.0
PAUSE_CAP = 1800.0
#: The same where it will be so until a person has done something.
LONG_PAUSE = 120.0
#: Pilots in a row that found no job until that is held against the queue: one may just have come too late.
EMPTY_HANDED = 2
#: Seconds of pause after the first refusal of a computing element, and the most: a quota may have room when the next
#: pilot ends, a credential is renewed by a person, and one that does not answer is asked again soon.
REFUSALS: Mapping[Trouble, tuple[float, float]] = {
    Trouble.FULL: (60.0, 600.0),
    Trouble.CREDENTIAL: (LONG_PAUSE, PAUSE_CAP),
    Trouble.UNREACHABLE: (PAUSE, 300.0),
    Trouble.REFUSED: (PAUSE, PAUSE_CAP),
}
_SAID: Mapping[Trouble, str] = {
    Trouble.FULL: "the computing element takes no more pilots",
    Trouble.CREDENTIAL: "the computing element accepts no credential of ours",
    Trouble.UNREACHABLE: "the computing element does not answer",
    Trouble.REFUSED: "the computing element refuses pilots",
}


@dataclass(frozen=True)
class PilotEnd:
    """How one pilot of the queue ended. `useful`: it had at least one job. Times in seconds since the epoch."""

    ended: float
    reason: PilotReason | None
    useful: bool
    message: str = ""  # a line that says more
    began: float | None = None  # when it was written down; None: just before it ended

    @property
    def bad(self) -> bool:
        """Whether another would end likewise, as far as one knows."""
        return self.back_off is not BackOff.NONE

    @property
    def empty_handed(self) -> bool:
        """Whether it ended in good order because it found no job."""
        return self.reason is PilotReason.IDLE and not self.useful

    @property
    def back_off(self) -> BackOff:
        """What the catalogue of errors says of it."""
        found = entry(of_pilot(self.reason or PilotReason.GONE, self.message))
        return (found and found.back_off) or BackOff.SLOW

    @property
    def site_drains(self) -> bool:
        """Whether the site had it end, and not an order."""
        return self.reason is PilotReason.DRAINED and self.message.startswith(SITE_DRAINS)


@dataclass(frozen=True)
class Setback:
    """The computing element did not take pilots or did not answer, and has taken none since."""

    trouble: Trouble
    words: str  # its own
    at: float  # when it did last, in seconds since the epoch
    times: int = 1  # turns of the director in a row

    def again(self, trouble: Trouble, words: str, at: float) -> Setback:
        """It did so once more; after a trouble of another kind the pause begins anew."""
        return Setback(trouble, words, at, self.times + 1 if trouble is self.trouble else 1)

    @property
    def until(self) -> float:
        """When it may be tried again."""
        first, most = REFUSALS[self.trouble]
        return self.at + _doubled(first, self.times, most)

    def __str__(self) -> str:
        return f"{_SAID[self.trouble]} ({self.words})"


@dataclass(frozen=True)
class Past:
    """What a director remembers of its queue. Times in seconds since the epoch."""

    ends: Sequence[PilotEnd] = ()  # of its pilots, newest first
    setback: Setback | None = None
    good: float | None = None  # when the newest live pilot that has had a job enrolled
    wanting: float | None = None  # since when jobs that fit the queue have waited, at each look; None: none did
    need: int | None = None  # pilots that were wanted at the last look and not sent; None: there was none


class Gate(Enum):
    """Whether pilots may go through."""

    OPEN = "open"
    HALF = "half-open"  # a single one, to see
    SHUT = "shut"


@dataclass(frozen=True)
class Way:
    """The gate of a queue, and why it is not open."""

    gate: Gate
    why: str = ""
    until: float | None = None  # when a probe may go, in seconds since the epoch
    trouble: Trouble | None = None  # of the computing element; None: it is about how pilots ended


OPEN = Way(Gate.OPEN)


def way(past: Past, now: float) -> Way:
    """Decide, at a time in seconds since the epoch."""
    ways = [_after_ends(bad_ends(past), now)]
    if past.setback is not None:
        ways.append(_way(str(past.setback), past.setback.until, now, past.setback.trouble))
    return max(ways, key=lambda one: (one.gate is Gate.SHUT, one.gate is Gate.HALF, one.until or 0.0))


def bad_ends(past: Past) -> Sequence[PilotEnd]:
    """The pilots that ended badly since the last good one, newest first; among them those that found no job, though
    jobs that should fit waited all the time that they lived, when that has happened again."""
    since = [
        end for end in takewhile(lambda end: not end.useful, past.ends) if past.good is None or end.ended > past.good
    ]
    wanting = math.inf if past.wanting is None else past.wanting
    empty = [end for end in since if end.empty_handed and (end.began or end.ended) >= wanting]
    held_against = empty if rounds(empty) >= EMPTY_HANDED else []
    return [end for end in since if end.bad or end in held_against]


def rounds(ends: Sequence[PilotEnd]) -> int:
    """How many of them, newest first, were sent one after another, each knowing how the one before ended."""
    count, began = 0, math.inf
    for end in ends:
        if end.ended <= began:
            count += 1
            began = end.ended if end.began is None else end.began
    return count


def pause(bad: int, back_off: BackOff = BackOff.SLOW) -> float:
    """Seconds to wait after that many bad ends in a row, the newest of that kind."""
    return _doubled(LONG_PAUSE if back_off is BackOff.LONG else PAUSE, bad, PAUSE_CAP)


def _doubled(first: float, times: int, most: float) -> float:
    return float(min(first * 2 ** min(times - 1, 30), most)) if times else 0.0


def _after_ends(bad: Sequence[PilotEnd], now: float) -> Way:
    if not bad:
        return OPEN
    return _way(_told(bad), bad[0].ended + pause(rounds(bad), bad[0].back_off), now, None)


def _way(why: str, until: float, now: float, trouble: Trouble | None) -> Way:
    if until > now:
        return Way(Gate.SHUT, f"{why}; trying again in {show_duration(math.ceil(until - now))}", until, trouble)
    return Way(Gate.HALF, why, until, trouble)


def _told(bad: Sequence[PilotEnd]) -> str:
    """How they ended, in the words of the newest."""
    newest = bad[0]
    number = "pilot" if len(bad) == 1 else f"{len(bad)} pilots"
    if newest.site_drains:
        return f"{newest.message}: the last {number} ended without a job"
    if newest.empty_handed:
        return f"the last {number} found no job there that fits, so that the queue is not what its settings say"
    why = newest.message or (newest.reason.value if newest.reason else "no word")
    if newest.reason and not why.startswith(newest.reason.value):
        why = f"{newest.reason.value}: {why}"
    return f"the last {number} ended badly ({why})"
