"""What offers that look alike can use of what waits.

Offers that look the same to all that wait (communities, site, tags …) share a `View`: what is of the right kind for
them, so that only amounts are left to compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from central.matching.kinds import FAILS, FITS, UNASKED, Kinds
from central.matching.looks import Look
from central.matching.matcher import Free, kind_fits, room
from central.matching.ordered import Amounts
from central.matching.queued import Queue, bit_of, folded

#: Fruitless searches that a view remembers, so as not to repeat them.
MAX_BARREN = 8
#: Blocks of which a view remembers that they hold nothing for certain amounts.
MAX_MISSES = 4096
#: Kinds that are asked one by one when they have come; of more, all are found out at once.
ONE_BY_ONE = 32


class View:
    """What offers of one look can use. `limits` are those that count what runs there."""

    def __init__(self, look: Look, limits: int, kinds: Kinds) -> None:
        self.read = 0  # news heard so far
        self.limits = limits
        self.misses: dict[int, Amounts] = {}
        self.communities = frozenset(look.communities)
        self.verdicts = bytearray()  # by kind
        self.kinds = 0  # bits of the kinds that are right, or may be
        self._kinds = kinds
        self._version = -1  # of the kinds, as they are known here
        self._look = look
        self._offer = replace(look.offer(), owners=None)  # queues of one kind may have any owners
        self._barren: list[Free] = []  # amounts that hold nothing of what waits

    def judge(self) -> None:
        """Find out which kinds are right, of those that have come since the last time."""
        if len(self.misses) > MAX_MISSES:
            self.misses.clear()
        kinds = self._kinds
        if self._version == kinds.version:
            return
        changes = kinds.changes(self._version) if self._version >= 0 else None
        self._version = kinds.version
        if changes is None or len(changes) > ONE_BY_ONE:
            right = kinds.right(self._look)
            self.kinds = folded(right)
            self.verdicts = kinds.verdicts(right)
            return
        self.verdicts.extend(bytes(len(kinds) - len(self.verdicts)))
        for kind in changes:
            self.verdicts[kind] = UNASKED
            if self._is_right(kind):
                self.kinds |= bit_of(kind)

    def accepts(self, queue: Queue) -> bool:
        """Whether it is of the right kind, and its owner is let in."""
        owners = self._look.owners
        if owners is not None and queue.task.owner not in owners:
            return False
        return self._is_right(queue.kind)

    def _is_right(self, kind: int) -> bool:
        if self.verdicts[kind] == UNASKED:
            self.verdicts[kind] = FITS if kind_fits(self._kinds.samples[kind], self._offer) else FAILS
        return self.verdicts[kind] == FITS

    def hear(self, news: Sequence[Queue] | None) -> None:
        """In these, jobs have come to wait; None: in others too."""
        if news is None:
            self._barren = []
        elif self._barren:
            for queue in news:
                if self.accepts(queue):
                    self._barren = [free for free in self._barren if not room(queue.task.needs, free)]

    def is_barren(self, free: Free) -> bool:
        """Whether it is known that so much holds nothing of what waits."""
        return any(free.within(barren) for barren in self._barren)

    def found_nothing(self, free: Free) -> None:
        self._barren = [free.copy(), *(barren for barren in self._barren if not barren.within(free))][:MAX_BARREN]
