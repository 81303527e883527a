"""Which waiting jobs the pilots of each queue are meant for, so that queues that fit the same jobs do not all send
pilots for them: plain bookkeeping, in memory.

Each director writes down, in each of its turns, for which jobs its queue has pilots: those on their way for no longer
than `PROMISE`, and free cores. Others leave these jobs to it. A pilot that has waited longer in a batch queue may wait
for days more: its own queue still counts it, others may send one for the same jobs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from central.directors.control import Demand

if TYPE_CHECKING:
    from central.directors.choosing import Door

#: Seconds for which a pilot on its way keeps other queues from sending one.
PROMISE = 600.0
#: Seconds after which what a director wrote down does not count any more: it has not come round since.
STALE = 300.0
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Wait:
    """Jobs of one task queue that wait and fit a pilot of a queue; each takes the part of it that so many cores are."""

    task: int
    jobs: int
    cores: float


@dataclass(frozen=True)
class _Page:
    """What one director has written down."""

    at: float
    claims: Mapping[int, int]  # task queue → jobs
    fits: frozenset[int]  # the task queues that its queue fits
    door: Door | None  # what can be got through it, and for how much


class Board:
    """What every director of a central sees of the others. Times in seconds since the epoch."""

    def __init__(self) -> None:
        self._pages: dict[str, _Page] = {}
        self._claims: Counter[int] = Counter()
        self._fits: Counter[int] = Counter()

    def left(self, queue: str, waiting: Sequence[Wait], now: float) -> tuple[Wait, ...]:
        """What of these the pilots of no other queue are meant for."""
        self._clear(now)
        page = self._pages.get(queue)
        mine = page.claims if page else {}
        return tuple(
            Wait(one.task, max(0, one.jobs - self._claims[one.task] + mine.get(one.task, 0)), one.cores)
            for one in waiting
        )

    def doors(self, now: float) -> list[tuple[Door, frozenset[int]]]:
        """What can be got through each queue, with the task queues that it fits."""
        self._clear(now)
        return [(page.door, page.fits) for page in self._pages.values() if page.door]

    def seen(self, queue: str, left: Sequence[Wait]) -> tuple[Wait, ...]:
        """What of these a queue has seen in its turn before: a director that waits for that knows what others make of
        it."""
        page = self._pages.get(queue)
        return tuple(one if page and one.task in page.fits else replace(one, jobs=0) for one in left)

    def write(self, queue: str, left: Sequence[Wait], cores: float, now: float, door: Door | None = None) -> None:
        """So many cores of a queue are free or on their way. They are meant for those jobs, of what is `left`, that the
        fewest other queues could take."""
        self._take_down(queue)
        fits = frozenset(one.task for one in left)
        claims: dict[int, int] = {}
        for one in sorted(left, key=lambda one: (self._fits[one.task], one.task)):
            jobs = min(one.jobs, int(cores / one.cores + _ROUNDING))
            if jobs > 0:
                claims[one.task] = jobs
                cores -= jobs * one.cores
        self._pages[queue] = _Page(now, claims, fits, door)
        self._claims.update(claims)
        self._fits.update(fits)

    def _clear(self, now: float) -> None:
        for name in [name for name, page in self._pages.items() if now - page.at > STALE]:
            self._take_down(name)

    def _take_down(self, queue: str) -> None:
        if page := self._pages.pop(queue, None):
            self._claims.subtract(page.claims)
            self._fits.subtract(page.fits)


def demand(waiting: Sequence[Wait], left: Sequence[Wait], rest: Sequence[Wait] | None = None) -> Demand:
    """What a queue is to serve, where `waiting` fits it, `left` is what no other queue has pilots for, and `rest` (all
    of that where it is None) what no cheaper one can take."""
    mine = left if rest is None else rest
    jobs, unclaimed = sum(one.jobs for one in mine), sum(one.jobs for one in left)
    cores = math.ceil(sum(one.jobs * one.cores for one in mine) - _ROUNDING)
    return Demand(jobs, cores, sum(one.jobs for one in waiting) - unclaimed, unclaimed - jobs)
