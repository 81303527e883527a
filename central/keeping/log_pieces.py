"""The objects of one log stream: chunks, several of them joined, and the whole that it becomes when it closes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from central.keeping import spans
from central.keeping.spans import Span

_WHOLE = re.compile(r"whole(?:-(?P<size>\d{1,15}))?")


def whole(size: int) -> str:
    """What a stream of so many bytes is called when it is closed."""
    return f"whole-{size}"


def is_closed(sizes: Mapping[str, int], size: int) -> bool:
    """Whether these objects (name → bytes) say that a stream which has so many bytes is closed."""
    return whole(size) in sizes or sizes.get("whole") == size  # the latter is of an earlier version


def pieces(sizes: Mapping[str, int]) -> Iterable[Span]:
    """The pieces among these objects: where two have the same bytes the first is taken."""
    for name, size in sizes.items():
        found = _WHOLE.fullmatch(name)
        if found and size and int(found["size"] or size) == size:
            yield Span(0, size, name)
    yield from spans.spans(sizes)


def replaced(folder: str, sizes: Mapping[str, int]) -> list[str]:
    """The objects, of these in a folder, all of whose bytes one other has too.

    Of two centrals that tidy at once, each might count on what the other takes away: only where one object has all of
    another's bytes, in an order on which all agree, is what was counted on itself in one that stays.
    """
    needless: list[str] = []
    largest: Span | None = None
    for piece in sorted(pieces(sizes), key=_order):
        if largest is not None and piece.end <= largest.end:
            needless.append(f"{folder}/{piece.name}")
        else:
            largest = piece
    return needless


def _order(piece: Span) -> tuple[int, int, bool, str]:
    """By beginning, the longer first; of equal ones a whole, which says that the stream is closed."""
    return (piece.start, -piece.end, not piece.name.startswith("whole"), piece.name)
