"""A collection of things whose place in the order moves: the first one is always at hand."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, Protocol, TypeVar

#: Smaller goes first. The last part is unique to the thing, so that no two are equal.
Key = tuple[int, int, int]


class Keyed(Hashable, Protocol):
    @property
    def key(self) -> Key | None:
        """Its place in the order now; None: not in the order."""


T = TypeVar("T", bound=Keyed)


class Ordered(Generic[T]):
    """A heap that learns late of things that moved back or left: it notices when their turn comes. One that arrives or
    moves forward has to be told with `touch`."""

    def __init__(self) -> None:
        self._heap: list[tuple[Key, T]] = []
        self._entry: dict[T, Key] = {}  # the one entry in the heap that counts; others are left from before a move

    def first(self) -> T | None:
        """The one that goes before all others."""
        heap, entries = self._heap, self._entry
        while heap:
            key, item = heap[0]
            if entries.get(item) is not key:
                heappop(heap)
                continue
            now = item.key
            if now == key:
                return item
            if now is None:
                heappop(heap)
                del entries[item]
            else:
                heapreplace(heap, (now, item))
                entries[item] = now
        return None

    def touch(self, item: T) -> None:
        """The thing may be new here or have moved forward."""
        key = item.key
        entry = self._entry.get(item)
        if key is None or (entry is not None and entry <= key):
            return
        self._entry[item] = key
        if len(self._heap) > 2 * len(self._entry) + 64:  # most of it is left from before moves
            self._heap = [(place, thing) for thing, place in self._entry.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (key, item))

    def discard(self, item: T) -> None:
        """It will never come again."""
        self._entry.pop(item, None)
