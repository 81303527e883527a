"""Things in order, cut into blocks that know the least that anything in them takes.

A search for the first thing that fits passes over whole blocks, and over whole tiers inside a tier, without looking
into them. The bounds may be too low after something has left; a search that was fooled by one puts it right.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

#: Things in a block when it is cut in two.
BLOCK = 128
_MORE_THAN_ANY = 1 << 62

#: Items from which on it is worth remembering that a search of the block found nothing.
_WORTH = 16
#: Cores, memory, disk, seconds, whether all of the place is free, and what else there is.
Amounts = tuple[int, int, int, int, bool, list[Any]]
_contents = itertools.count(1)

#: Smaller goes first. The last part is unique, so that no two are equal.
Place = tuple[Any, ...]


class Least:
    """The least amounts of what is in here (cores, bytes, bytes, seconds), and a bit for every kind that is."""

    __slots__ = ("cores", "disk", "kinds", "memory", "place", "seconds")

    def __init__(self) -> None:
        self.place: Place | None = None  # where it stands in the tier that it is in; None: in none
        self.clear()

    def clear(self) -> None:
        self.cores = self.memory = self.disk = self.seconds = _MORE_THAN_ANY
        self.kinds = 0

    def cover(self, other: Least) -> bool:
        """The other is in here too. Returns whether that changes anything."""
        changed = False
        if other.cores < self.cores:
            self.cores, changed = other.cores, True
        if other.memory < self.memory:
            self.memory, changed = other.memory, True
        if other.disk < self.disk:
            self.disk, changed = other.disk, True
        if other.seconds < self.seconds:
            self.seconds, changed = other.seconds, True
        kinds = self.kinds | other.kinds
        if kinds != self.kinds:
            self.kinds, changed = kinds, True
        return changed

    def cover_all(self, others: Sequence[Least]) -> None:
        """Nothing but these is in here."""
        self.clear()
        for other in others:
            self.cover(other)


class Search:
    """What is looked for. `turn` is the same for searches that follow each other while amounts only shrink and places
    only move back: where the last one found nothing, the next need not look.

    `misses` remembers fruitless searches of whole blocks for others that look alike: contents of the block → amounts.
    """

    __slots__ = ("amounts", "cores", "disk", "kinds", "memory", "misses", "remembers", "seconds", "turn")

    def __init__(self, turn: int, kinds: int, misses: dict[int, Amounts]) -> None:
        self.turn = turn
        self.kinds = kinds
        self.misses = misses
        self.remembers = True  # whether a miss says something for others
        self.follow((0, 0, 0, 0, False, []))

    def follow(self, amounts: Amounts) -> None:
        """Look for these amounts."""
        self.amounts = amounts
        self.cores, self.memory, self.disk, self.seconds = amounts[:4]

    def in_vain(self, contents: int) -> bool:
        """Whether nothing in there can be found: at least as much was looked for before."""
        known = self.misses.get(contents)
        if known is None:
            return False
        cores, memory, disk, seconds, empty, rest = known
        return (
            self.cores <= cores
            and self.memory <= memory
            and self.seconds <= seconds
            and self.disk <= disk
            and self.amounts[4] <= empty
            and (not self.amounts[5] or self.amounts[5] == rest)
        )


T = TypeVar("T", bound=Least)
S = TypeVar("S", bound=Search)
Found = TypeVar("Found")


class Block(Least, Generic[T]):
    __slots__ = ("contents", "items", "loose", "places")

    def __init__(self, places: list[Place], items: list[T]) -> None:
        super().__init__()
        self.contents = next(_contents)  # another number whenever something comes in
        self.places = places
        self.items = items
        self.loose = False  # the bounds may be too low
        self.cover_all(items)


class Tier(Least, Generic[T, S, Found]):
    """Things in order of their places."""

    __slots__ = ("_blocks", "_from", "_loose", "_starts", "_turn", "tightened")

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[Block[T]] = [Block([], [])]
        self._starts: list[Place] = [()]  # the first place that may be in each block
        self._turn = self._from = 0
        self._loose = False
        self.tightened = False  # since somebody looked

    # -- what is in it ----------------------------------------------------------------------------------------------
    def put(self, item: T, place: Place | None) -> bool:
        """Give a thing its place; None: take it out. Returns whether the bounds of the tier have changed."""
        old = item.place
        if old == place:
            return False
        if old is not None:
            number = bisect_right(self._starts, old) - 1
            places = self._blocks[number].places
            at = bisect_left(places, old)
            if place is not None and self._is_between(place, number, at):
                places[at] = item.place = place
                return False
            self._remove(number, at)
        item.place = place
        return place is not None and self._insert(item, place)

    def covers(self, item: T) -> bool:
        """A thing in it takes less than before. Returns whether the bounds of the tier have changed."""
        assert item.place is not None  # noqa: S101 - it is in the tier
        self._blocks[self._block(item.place)].cover(item)
        return self.cover(item)

    def renew(self, item: T) -> None:
        """Something has come into a thing that is in it."""
        assert item.place is not None  # noqa: S101 - it is in the tier
        self._blocks[self._block(item.place)].contents = next(_contents)

    def fill(self, places: list[Place], items: list[T]) -> None:
        """These, in this order, are in it from now on; all of them were before. Blocks stay that hold the same."""
        half = BLOCK // 2
        known = {id(block.items[0]): block for block in self._blocks if block.items}
        blocks: list[Block[T]] = []
        at = start = 0  # from `start` on, no block was found
        while at < len(items):
            block = known.get(id(items[at]))
            if block is not None and items[at : at + len(block.items)] == block.items:
                blocks += _cut(places, items, start, at, half)
                block.places = places[at : at + len(block.items)]
                blocks.append(block)
                at = start = at + len(block.items)
            else:
                at += 1
        blocks += _cut(places, items, start, at, half)
        self._blocks = blocks or [Block([], [])]
        self._starts = [block.places[0] if block.places else () for block in self._blocks]
        self._starts[0] = ()
        self._turn = 0
        for item, place in zip(items, places, strict=True):
            item.place = place

    def head(self) -> Place | None:
        """The first place that is taken."""
        places = self._blocks[0].places
        return places[0] if places else None

    def after(self, item: T) -> Place | None:
        """The next place that is taken."""
        assert item.place is not None  # noqa: S101 - it is in the tier
        number = self._block(item.place)
        places = self._blocks[number].places
        at = bisect_right(places, item.place)
        if at < len(places):
            return places[at]
        return self._blocks[number + 1].places[0] if number + 1 < len(self._blocks) else None

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from block.items

    # -- the search -------------------------------------------------------------------------------------------------
    def first(self, search: S) -> Found | None:
        """The first that fits."""
        start = self._from if self._turn == search.turn else 0
        cores, memory, disk, seconds, kinds = search.cores, search.memory, search.disk, search.seconds, search.kinds
        for number, block in enumerate(islice(self._blocks, start, None), start):
            if (
                block.cores > cores
                or not block.kinds & kinds
                or block.memory > memory
                or block.seconds > seconds
                or block.disk > disk
                or (len(block.items) >= _WORTH and search.in_vain(block.contents))
            ):
                continue
            found = self.first_in(block, search)
            if found is not None:
                self._turn, self._from = search.turn, number
                return found
            if block.loose:
                block.cover_all(block.items)
                block.loose = False
                self._loose = True
            if len(block.items) >= _WORTH and search.remembers:
                search.misses[block.contents] = search.amounts
        self._turn, self._from = search.turn, len(self._blocks)
        if self._loose:
            self.cover_all(self._blocks)
            self._loose = False
            self.tightened = True
        return None

    @abstractmethod
    def first_in(self, block: Block[T], search: S) -> Found | None:
        """The first that fits in a block of which the bounds do."""

    # -- inside -----------------------------------------------------------------------------------------------------
    def _block(self, place: Place) -> int:
        return bisect_right(self._starts, place) - 1

    def _is_between(self, place: Place, number: int, at: int) -> bool:
        """Whether what stands there would stay there with that place."""
        places = self._blocks[number].places
        if place <= (places[at - 1] if at else self._starts[number]):
            return False
        if at + 1 < len(places):
            return place < places[at + 1]
        return number + 1 == len(self._starts) or place < self._starts[number + 1]

    def _remove(self, number: int, at: int) -> None:
        block = self._blocks[number]
        del block.places[at], block.items[at]
        block.loose = self._loose = True
        if len(block.places) >= BLOCK // 8 or len(self._blocks) == 1:
            return
        # Only with the next one: what a search has passed over has to stay before where it goes on.
        if number + 1 < len(self._blocks) and len(self._blocks[number + 1].places) < BLOCK // 2:
            following = self._blocks.pop(number + 1)
            del self._starts[number + 1]
            block.places += following.places
            block.items += following.items
            block.cover(following)
            block.contents = next(_contents)
        elif not block.places:
            del self._blocks[number], self._starts[number]
            self._starts[0] = ()

    def _insert(self, item: T, place: Place) -> bool:
        number = self._block(place)
        block = self._blocks[number]
        at = bisect_left(block.places, place)
        block.places.insert(at, place)
        block.items.insert(at, item)
        block.cover(item)
        block.contents = next(_contents)
        if len(block.places) > BLOCK:
            half = BLOCK // 2
            self._blocks[number : number + 1] = [
                Block(block.places[:half], block.items[:half]),
                Block(block.places[half:], block.items[half:]),
            ]
            self._starts.insert(number + 1, block.places[half])
        return self.cover(item)


def _cut(places: list[Place], items: list[T], start: int, end: int, size: int) -> list[Block[T]]:
    """Blocks of what is from start to end."""
    return [Block(places[at : min(at + size, end)], items[at : min(at + size, end)]) for at in range(start, end, size)]
