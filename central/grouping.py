"""Task queues grouped by what tells offers apart, so that few are looked at to find the first that fits an offer.

`Alike` are the queues of equal needs in one community. Offers that look the same to all that wait (communities, site,
tags …) share a `View`: what is of the right kind for them, in order, so that only amounts are left to compare.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from central.matcher import Free, kind_fits, room, tag_expression
from central.ordered import Key, Ordered
from central.records import TaskQueue
from pilot import tags
from pilot.protocol import Needs, Offer, Platform

PRIORITIES = 11
#: Fruitless searches that a view remembers, so as not to repeat them.
MAX_BARREN = 8
_FITS, _FAILS = 1, 2


def order(priority: int, oldest: int, queue: int) -> Key:
    """Where a queue stands: priority first (10 before 0, so that 0 is left for when nothing else fits), then age."""
    return (-priority, oldest, queue)


class Queue:
    """One task queue. Counts may pass below zero for a moment, when a claim is heard of before what it claimed."""

    def __init__(self, task: TaskQueue, alike: Alike) -> None:
        self.task = task
        self.alike = alike
        self.counts = [0] * PRIORITIES
        self.oldest = [0] * PRIORITIES  # a lower bound of the ids that wait at each priority
        self.reserved = 0
        self.additions = 0
        self.emptied: float | None = None  # when it was first seen empty
        self.key: Key | None = None

    def add(self, priority: int, count: int, oldest: int) -> None:
        known = self.counts[priority] > 0
        self.oldest[priority] = min(self.oldest[priority], oldest) if known else oldest
        self.counts[priority] += count
        self.additions += 1

    def place(self) -> None:
        """Find its place in the order again."""
        for priority in range(PRIORITIES - 1, -1, -1):
            if self.counts[priority] > 0:
                self.emptied = None
                self.key = order(priority, self.oldest[priority], self.task.id)
                return
        self.key = None

    @property
    def waiting(self) -> int:
        return sum(count for count in self.counts if count > 0)


#: A place in the order with the least amounts that it takes (cores, memory, disk, seconds), and who has it.
Row = tuple[Key, int, int, int, int, "Alike"]


class Alike:
    """The queues of one community with equal needs: they fit an offer or not as one.

    `kind` numbers the community and the needs without amounts. `row` is made anew whenever the first queue changes
    its place, so that views, which share it, find out by looking.
    """

    def __init__(self, sample: TaskQueue, kind: int) -> None:
        self.sample = sample
        self.needs = sample.needs
        self.kind = kind
        self.row: Row | None = None
        self.queues: Ordered[Queue] = Ordered()
        self.members = 0

    def moved(self, queue: Queue) -> bool:
        """A queue may have changed its place. Returns whether these have moved forward, or wait again."""
        before = self.row
        self.queues.touch(queue)
        first = self.queues.first()
        if first is None or first.key is None:
            self.row = None
            return False
        if before is None or before[0] != first.key:
            needs = self.needs
            memory = needs.memory + needs.memory_per_core * needs.cores
            self.row = (first.key, needs.cores, memory, needs.disk, needs.wall_time, self)
        return before is None or first.key < before[0]


class View:
    """The queues of the kinds that fit offers which look like `offer`, in order.

    A row of queues that have moved back or are empty stays until somebody comes upon it.
    """

    def __init__(self, offer: Offer) -> None:
        self.read = 0  # news heard so far
        self._offer = offer
        self._verdicts = bytearray()  # by kind; 0: not asked yet
        self._rows: list[Row] = []
        self._barren: list[Free] = []  # amounts that hold nothing of what waits

    def accepts(self, alike: Alike) -> bool:
        """Whether they are of the right kind."""
        if alike.kind >= len(self._verdicts):
            self._verdicts.extend(bytes(alike.kind + 1 - len(self._verdicts)))
        verdict = self._verdicts[alike.kind]
        if not verdict:
            verdict = self._verdicts[alike.kind] = _FITS if kind_fits(alike.sample, self._offer) else _FAILS
        return verdict == _FITS

    def fill(self, all_alike: Iterable[Alike]) -> None:
        """Begin with these."""
        self._rows = sorted(alike.row for alike in all_alike if alike.row is not None and self.accepts(alike))

    def hear(self, news: Sequence[Alike]) -> None:
        """These have moved forward, or wait again."""
        for alike in news:
            if alike.row is not None and self.accepts(alike):
                self._put(alike)
                self._barren = [barren for barren in self._barren if not room(alike.needs, barren)]

    def first_fit(self, free: Free, start: int = 0) -> tuple[Alike, int] | None:
        """The first queues, by order, that the free amounts hold, and their place.

        From that place a search for what is left of the amounts may go on: nothing before it fits less.
        """
        if any(free.within(barren) for barren in self._barren):
            return None
        at = start
        while (at := self._candidate(free, at)) < len(self._rows):
            row = self._rows[at]
            alike = row[-1]
            if row is not alike.row:
                del self._rows[at]
                self._put(alike)
            elif room(alike.needs, free):
                return alike, at
            else:
                at += 1
        self._barren = [free.copy(), *(barren for barren in self._barren if not barren.within(free))][:MAX_BARREN]
        return None

    def tidy(self) -> None:
        """Let go of rows that nobody came upon."""
        current = {row for *_, alike in self._rows if (row := alike.row) is not None}
        if len(self._rows) > 2 * len(current):
            self._rows = sorted(current)

    def _candidate(self, free: Free, start: int) -> int:
        """The next row of which the free amounts hold at least cores, memory, disk and seconds."""
        cores, memory, disk, seconds = free.cores, free.memory, free.disk, free.seconds
        for at, (_, c, m, d, s, _) in enumerate(islice(self._rows, start, None), start):
            if c <= cores and m <= memory and d <= disk and s <= seconds:
                return at
        return len(self._rows)

    def _put(self, alike: Alike) -> None:
        row = alike.row
        if row is not None:
            at = bisect_left(self._rows, row)
            if at == len(self._rows) or self._rows[at] is not row:
                self._rows.insert(at, row)


# -- kinds ------------------------------------------------------------------------------------------------------------


def kind_of(needs: Needs) -> Needs:
    """The needs without amounts: what an offer of the right kind meets."""
    return Needs(
        tags=needs.tags,
        sites=needs.sites,
        not_sites=needs.not_sites,
        platform=needs.platform,
        isolation=needs.isolation,
    )


@dataclass(frozen=True)
class Look:
    """An offer's kind, as far as the waiting jobs can tell: no amounts, and nothing that nobody mentions."""

    site: str
    tags: frozenset[str]
    unknown_tags: frozenset[str]
    required_tags: tuple[str, ...]
    communities: tuple[str, ...]
    arch: str | None
    microarch: int | None
    glibc: tuple[int, int] | None
    isolation: bool

    def offer(self) -> Offer:
        """An offer that looks like this."""
        return Offer(
            site=self.site,
            queue="",
            tags=tuple(self.tags),
            unknown_tags=tuple(self.unknown_tags),
            required_tags=self.required_tags,
            communities=self.communities,
            platform=Platform(self.arch, self.microarch, self.glibc),
            isolation=self.isolation,
        )


class Mentions:
    """The tags and sites that needs mention: by nothing else of these can they tell one offer from another."""

    def __init__(self) -> None:
        self.tags: set[str] = set()
        self.sites: set[str] = set()

    def learn(self, needs: Needs) -> None:
        self.tags |= tags.names(tag_expression(needs.tags)[0])
        self.sites.update(needs.sites or (), needs.not_sites)

    def look(self, offer: Offer) -> Look:
        platform = offer.platform
        return Look(
            offer.site if offer.site in self.sites else "",
            frozenset(self.tags.intersection(offer.tags)),
            frozenset(self.tags.intersection(offer.unknown_tags)),
            offer.required_tags,
            offer.communities,
            platform.arch,
            platform.microarch,
            platform.glibc,
            offer.isolation,
        )
