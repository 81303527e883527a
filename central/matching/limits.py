"""Which limits a job counts against where, and which of them are full, as far as this central knows.

The store alone counts: a claim is exact. Here a limit that the store found full is closed, so that nobody asks for what
would not be given. A closed limit is tried again after a while, and soon after attempts have ended, by one request at a
time. Every limit has a bit, so that a set of them is a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from central.matching.matcher import tag_expression
from central.records import Limit, LimitUse, TaskQueue

#: Seconds until a full limit is tried again: when nobody says that something has ended, and after somebody has.
RETRY = 5.0
SOON = 1.0


@dataclass(frozen=True)
class _Shut:
    """A limit is closed to jobs of so many cores or more (0: to all), was last tried then, and may be tried again."""

    cores: int
    tried: float
    due: float


class Limits:
    """The limits that there are, and which are closed. Times come from the caller."""

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        self.version = 0  # of the definitions
        self.closed = 0  # those that are closed to every job
        self._narrow = 0  # those that are closed to wide jobs alone
        self._limits: tuple[Limit, ...] = ()
        self._by_name: dict[str, Limit] = {}
        self._bits: dict[str, int] = {}
        self._names: dict[int, tuple[str, ...]] = {}
        self._shut: dict[int, _Shut] = {}
        self.define(limits)

    def define(self, limits: Sequence[Limit]) -> None:
        """These are the limits from now on."""
        if self.version and tuple(limits) == self._limits:
            return
        self.version += 1
        self._limits = tuple(limits)
        self._by_name = {limit.name: limit for limit in self._limits}
        self._bits = {name: 1 << number for number, name in enumerate(self._by_name)}
        self._names = {}
        self._shut = {}
        self._count()

    def load(self, uses: Sequence[LimitUse], now: float) -> bool:
        """What the store says of every limit. Returns whether one has opened."""
        self.define([use.limit for use in uses])
        full = [use.limit.name for use in uses if is_full(use)]
        self.close(dict.fromkeys(full, 1), now)
        return self.open(self._by_name.keys() - set(full))

    # -- what counts against which ----------------------------------------------------------------------------------
    @property
    def sites(self) -> frozenset[str]:
        return frozenset(limit.site for limit in self._limits if limit.site is not None)

    @property
    def doors(self) -> frozenset[str]:
        """The queues of sites that limits name."""
        return frozenset(limit.queue for limit in self._limits if limit.queue is not None)

    def at(self, site: str, door: str) -> int:
        """Those that count jobs of some kind at that site, behind that door."""
        return self._sum(limit for limit in self._limits if limit.site in (None, site) and limit.queue in (None, door))

    def of_party(self, community: str, group: str | None = None, owner: str | None = None) -> int:
        """Those that count every job of a community, of a group of it, or of an owner, wherever it runs."""
        return self._sum(
            limit for limit in self._limits if limit.tag is None and _is_of(limit, community, group, owner)
        )

    def of_queue(self, task: TaskQueue) -> int:
        """Those that count the jobs of a task queue, wherever they run."""
        if not self._limits:
            return 0
        demanded = tag_expression(task.needs.tags)[1]
        return self._sum(
            limit
            for limit in self._limits
            if (limit.tag is None or limit.tag in demanded) and _is_of(limit, task.community, task.group, task.owner)
        )

    def names(self, bits: int) -> tuple[str, ...]:
        """The names of a set of limits."""
        known = self._names.get(bits)
        if known is None:
            known = self._names[bits] = tuple(name for name, bit in self._bits.items() if bit & bits)
        return known

    def bit(self, name: str) -> int:
        return self._bits.get(name, 0)

    # -- which are closed -------------------------------------------------------------------------------------------
    def shuts_out(self, bits: int, cores: int) -> bool:
        """Whether one of these is closed to jobs of so many cores."""
        if bits & self.closed:
            return True
        return any(bit & bits and cores >= shut.cores for bit, shut in self._shut.items()) if self._narrow else False

    def close(self, cores: Mapping[str, int], now: float) -> None:
        """The store found these full: name → the fewest cores of a job that it did not let in."""
        for name, least in cores.items():
            if bit := self._bits.get(name):
                wide = least > 1 and self._by_name[name].cores is not None  # narrower ones may still find room
                self._shut[bit] = _Shut(least if wide else 0, now, now + RETRY)
        self._count()

    def open(self, names: Collection[str]) -> bool:
        """The store gave all that was asked for under these. Returns whether one was closed."""
        opened = [name for name in names if self._shut.pop(self._bits.get(name, 0), None)] if self._shut else []
        if opened:
            self._count()
        return bool(opened)

    def due(self, now: float) -> int:
        """Those of the closed ones that may be tried again."""
        return sum(bit for bit, shut in self._shut.items() if now >= shut.due) if self._shut else 0

    def next_due(self) -> float | None:
        """When the first of the closed ones may be tried again."""
        return min((shut.due for shut in self._shut.values()), default=None)

    def trying(self, bits: int, now: float) -> None:
        """These are being tried: nobody else should, until the answer is known."""
        for bit, shut in self._shut.items():
            if bit & bits:
                self._shut[bit] = replace(shut, tried=now, due=now + RETRY)

    def ended(self, now: float) -> None:
        """Attempts have ended: closed limits may have room again."""
        for bit, shut in self._shut.items():
            self._shut[bit] = replace(shut, due=min(shut.due, max(now, shut.tried + SOON)))

    def _count(self) -> None:
        self.closed = sum(bit for bit, shut in self._shut.items() if not shut.cores)
        self._narrow = sum(bit for bit, shut in self._shut.items() if shut.cores)

    def _sum(self, limits: Iterator[Limit]) -> int:
        return sum(self._bits[limit.name] for limit in limits)


def is_full(use: LimitUse) -> bool:
    """Whether a limit lets nothing in, not even a job of one core."""
    limit = use.limit
    return (limit.attempts is not None and use.attempts >= limit.attempts) or (
        limit.cores is not None and use.cores >= limit.cores
    )


def _is_of(limit: Limit, community: str, group: str | None, owner: str | None) -> bool:
    """Whether a limit counts all that is of this party: what it names, the party has."""
    return (
        limit.community in (None, community)
        and (limit.group is None or limit.group == group)
        and (limit.owner is None or limit.owner == owner)
    )
