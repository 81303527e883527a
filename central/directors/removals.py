"""What was to be taken away from a computing element, and is still there: bookkeeping, in memory."""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pilot.units import show_duration

#: Seconds after which something that was to be removed and is still listed is an alarm.
STUCK = 600.0
#: Characters of the computing element's words in an alarm.
_WORDS = 300


@dataclass
class _Asked:
    first: float  # seconds since the epoch, as the next
    last: float
    words: str = ""  # of the computing element, when it was asked last


class Removals:
    """Removals that were asked for, by reference."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def turn(self, references: Iterable[str], most: int, now: float) -> list[str]:
        """Those whose turn it is to be asked for: first what was not asked for yet, then what was long ago, so that
        what does not go is in nobody's way. They count as asked for now."""
        some = heapq.nsmallest(most, dict.fromkeys(references), key=self._last)
        for reference in some:
            one = self._asked.setdefault(reference, _Asked(now, now))
            one.last, one.words = now, ""
        return some

    def _last(self, reference: str) -> float:
        one = self._asked.get(reference)
        return one.last if one else -math.inf

    def refused(self, reference: str, words: str) -> None:
        if reference in self._asked:
            self._asked[reference].words = " ".join(words.split())[:_WORDS]

    def listed(self, references: Collection[str]) -> None:
        """These are all that the computing element has: everything else has gone."""
        for reference in self._asked.keys() - set(references):
            del self._asked[reference]

    def overdue(self, now: float) -> str:
        """A sentence about those that should be gone by now; empty where there are none."""
        late = sorted((one.first, reference) for reference, one in self._asked.items() if now - one.first > STUCK)
        if not late:
            return ""
        first, reference = late[0]
        others = f" and {len(late) - 1} others" if len(late) > 1 else ""
        words = self._asked[reference].words
        said = f": {words}" if words else ", though it did not say no"
        since = show_duration(int(now - first))
        return f"{reference}{others} should be gone for {since} and the computing element still has it{said}"
