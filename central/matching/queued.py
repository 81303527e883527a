"""One task queue in memory: how many jobs wait in it, and the bounds by which a search passes over it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from central.matching.ordered import Least, Place
from central.matching.shares import Account
from central.records import TaskQueue

if TYPE_CHECKING:
    from central.matching.grouping import Party

PRIORITIES = 11
#: Kinds that have a bit of their own; with more of them, some share one, and bounds are less sharp.
KIND_BITS = 4096
ANY_KIND = (1 << KIND_BITS) - 1


class Queue(Least):
    """One task queue. Counts may pass below zero for a moment, when a claim is heard of before what it claimed."""

    __slots__ = (
        "account",
        "additions",
        "counts",
        "emptied",
        "kind",
        "limits",
        "oldest",
        "party",
        "reserved",
        "since",
        "task",
    )

    def __init__(self, task: TaskQueue, account: Account, kind: int, limits: int, now: float) -> None:
        needs = task.needs
        self.place: Place | None = None
        self.cores = needs.cores
        self.memory = needs.memory + needs.memory_per_core * needs.cores
        self.disk = needs.disk
        self.seconds = needs.wall_time
        self.task = task
        self.account = account
        self.limits = limits  # that count its jobs somewhere
        self.party: Party | None = None  # where it stands
        self.counts = [0] * PRIORITIES
        self.oldest = [0] * PRIORITIES  # a lower bound of the ids that wait at each priority
        self.reserved = 0
        self.additions = 0
        self.emptied: float | None = None  # when it was first seen empty
        self.since = now  # that jobs wait in it and none was given
        self.kind = kind
        self.kinds = bit_of(kind)

    def add(self, priority: int, count: int, oldest: int) -> None:
        known = self.counts[priority] > 0
        self.oldest[priority] = min(self.oldest[priority], oldest) if known else oldest
        self.counts[priority] += count
        self.additions += 1

    def turn(self) -> Place | None:
        """Its place among the queues of its owner: priority first (10 before 1), then age; None: no job waits."""
        counts = self.counts
        for priority in range(PRIORITIES - 1, -1, -1):
            if counts[priority] > 0:
                return (-priority, self.oldest[priority], self.task.id)
        return None

    @property
    def waiting(self) -> int:
        return sum(count for count in self.counts if count > 0)


@lru_cache(maxsize=KIND_BITS)
def _bit(number: int) -> int:
    return 1 << number  # kept, because one of these may take half a kilobyte


def bit_of(kind: int) -> int:
    """The bit by which a search looks for a kind."""
    return _bit(kind % KIND_BITS)


def folded(kinds: int) -> int:
    """The bits by which a search looks for a set of kinds."""
    found = 0
    while kinds:
        found |= kinds & ANY_KIND
        kinds >>= KIND_BITS
    return found
