"""Whether a central has heard pilots for long enough to say which of them are silent.

A central that just started, stood still (blocked, or its machine asleep) or could not reach its store has heard nobody
meanwhile: the silence was its own. It looks at two clocks again and again, its own and the database's; when either has
moved on too far between two looks, everybody gets the time to be heard once more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Hearing:
    """How long a central has been able to hear, by its own clock, which stands still while the machine sleeps."""

    longest: float  # seconds between two looks in which nothing was missed
    wait: float  # seconds in which every pilot that lives is heard
    since: float  # it has heard without a break
    looked: float  # for the last time
    time: float | None = None  # the database's, then

    @classmethod
    def begun(cls, beat: float, now: float, call_back: float = 0.0) -> Hearing:
        """A central that starts, where pilots beat so often, and those that could not reach it try again within
        `call_back` seconds."""
        return cls(longest=beat, wait=max(2 * beat, call_back), since=now, looked=now)

    def look(self, now: float, time: float) -> Hearing:
        """Both clocks were read."""
        gap = max(now - self.looked, 0.0 if self.time is None else time - self.time)
        return replace(self, since=now if gap > self.longest else self.since, looked=now, time=time)

    def judges(self, now: float) -> bool:
        """Whether a pilot that was not heard is silent."""
        return now - self.since >= self.wait and now - self.looked <= self.longest
