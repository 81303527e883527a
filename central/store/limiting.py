"""Limits on what runs, apart from any database: which attempts count against one, and how many more it lets in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from central.records import Limit, LimitUse, Pick
from pilot.errors import Refusal
from pilot.tags import demanded, parse


@dataclass(frozen=True)
class Place:
    """What limits tell attempts apart by: whose job it is, what it demands, and the pilot that has it."""

    site: str
    queue: str  # the pilot's
    community: str
    group: str
    owner: str
    tags: frozenset[str]  # demanded by the job's needs, see `demanded_tags`


@lru_cache(maxsize=4096)
def demanded_tags(expression: str) -> frozenset[str]:
    """The tags that a job with this expression in its needs demands."""
    return demanded(parse(expression))


def counts(limit: Limit, place: Place) -> bool:
    """Whether such an attempt counts against the limit."""
    asked = (limit.site, limit.queue, limit.community, limit.group, limit.owner)
    given = (place.site, place.queue, place.community, place.group, place.owner)
    return all(one is None or one == other for one, other in zip(asked, given, strict=True)) and (
        limit.tag is None or limit.tag in place.tags
    )


def check(limits: Sequence[Limit]) -> None:
    """Refuse limits that share a name."""
    twice = [name for name, number in Counter(limit.name for limit in limits).items() if number > 1]
    if twice:
        raise Refusal("invalid", f"limits: {twice[0]!r} is there twice: give each limit a name of its own.")


def room(use: LimitUse, cores: int) -> int | None:
    """How many more attempts of so many cores it lets in; None: any number."""
    attempts = None if use.limit.attempts is None else max(use.limit.attempts - use.attempts, 0)
    if use.limit.cores is None:
        return attempts
    by_cores = max((use.limit.cores - use.cores) // max(cores, 1), 0)
    return by_cores if attempts is None else min(attempts, by_cores)


class Counting:
    """The counters of some limits while one claim goes through its picks. Names that it does not know limit nothing."""

    def __init__(self, uses: Iterable[LimitUse]) -> None:
        self._uses = {use.limit.name: use for use in uses}
        self._touched: set[str] = set()
        self._limited: set[str] = set()

    def known(self, names: Collection[str]) -> tuple[str, ...]:
        """Those of the names that such an attempt counts against."""
        return tuple(sorted({name for name in names if name in self._uses})) if names else ()

    def allowed(self, pick: Pick) -> int:
        """How many of a pick's jobs there is room for."""
        return min([pick.count, *self._rooms(pick).values()])

    def took(self, pick: Pick, wanted: int, number: int) -> None:
        """So many were taken of the `wanted` that were allowed. Fewer: the queue is empty, and no limit is to blame."""
        if number == wanted < pick.count:
            self._limited.update(name for name, left in self._rooms(pick).items() if left == wanted)
        if number:
            for name in pick.limits:
                if use := self._uses.get(name):
                    self._uses[name] = LimitUse(use.limit, use.attempts + number, use.cores + number * pick.cores)
                    self._touched.add(name)

    @property
    def limited(self) -> tuple[str, ...]:
        """The limits for which less was given than was picked."""
        return tuple(sorted(self._limited))

    @property
    def changed(self) -> tuple[LimitUse, ...]:
        """The limits whose counters are not as they were, as full as they are now."""
        return tuple(self._uses[name] for name in sorted(self._touched))

    def _rooms(self, pick: Pick) -> dict[str, int]:
        rooms: dict[str, int] = {}
        for name in pick.limits:
            if (use := self._uses.get(name)) and (left := room(use, pick.cores)) is not None:
                rooms[name] = left
        return rooms
