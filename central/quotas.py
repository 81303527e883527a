"""What one user may have: jobs that wait, and bytes of stored files. Counted now and then, so roughly where several
centrals take them in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from central.records import Identity
from pilot.errors import Refusal
from pilot.protocol import Amount
from pilot.units import show_size

#: Seconds for which a count is good; what is admitted meanwhile is added to it.
FRESH = 1.0
#: Users whose counts are kept.
MOST_USERS = 10_000
#: user, what there is, the most, what is to come → why not.
Sentence = Callable[[str, int, int, int], str]


class Quota:
    """At most so much for one user at the same time."""

    def __init__(self, most: Amount, sentence: Sentence, now: Callable[[], float]) -> None:
        self._most = most if isinstance(most, int) else None
        self._sentence = sentence
        self._now = now
        self._counts: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    async def admit(self, who: Identity, more: int, count: Callable[[], Awaitable[int]]) -> None:
        """Let so much more come. `count` tells how much there is. Raises ``too-large``."""
        if self._most is None:
            return
        key, now = (who.community, who.user), self._now()
        since, there = self._counts.get(key, (now - FRESH, 0))
        if now - since >= FRESH:
            there = await count()
            since = now
        if there + more > self._most:
            why = self._sentence(who.user, there, self._most, more)
            raise Refusal("too-large", why, expected=str(self._most), got=str(there + more))
        self._counts[key] = (since, there + more)
        self._counts.move_to_end(key)
        if len(self._counts) > MOST_USERS:
            self._counts.popitem(last=False)


def of_waiting(most: Amount, now: Callable[[], float]) -> Quota:
    """Jobs that wait."""

    def sentence(user: str, there: int, most: int, more: int) -> str:
        said = f"{user} has {there:,} jobs that wait, and may have {most:,}"
        return f"{said}: submit the other {more:,} when some of them have begun, or fewer at once"

    return Quota(most, sentence, now)


def of_bytes(most: Amount, now: Callable[[], float]) -> Quota:
    """Bytes of files that somebody has sent, or whose jobs have brought them home."""

    def sentence(user: str, there: int, most: int, more: int) -> str:
        said = f"{user} has {show_size(there)} in the sandbox store, and may have {show_size(most)}"
        return f"{said}: another {show_size(more)} are not taken; an operator may allow more (`person_sandbox`)"

    return Quota(most, sentence, now)
