"""Pieces of one run of bytes, each an object whose name tells where it lies: ``<offset>-<bytes>``.

An object of a name always holds the same bytes, so that several centrals may write pieces of one run, overlapping or
twice, and none undoes what another has written. Where one process alone writes, a piece may grow: ``<offset>-grows``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"(?P<start>\d{15})(?:-(?:(?P<size>\d{1,15})|grows))?")


@dataclass(frozen=True)
class Span:
    """The bytes from `start` up to, not with, `end`, in the object of this name."""

    start: int
    end: int
    name: str


def name(start: int, size: int) -> str:
    """What a piece is called."""
    return f"{start:015d}-{size}"


def growing(start: int) -> str:
    """What a piece is called that is written as its bytes come."""
    return f"{start:015d}-grows"


def is_growing(piece: Span) -> bool:
    return piece.name.endswith("-grows")


def spans(sizes: Mapping[str, int]) -> Iterable[Span]:
    """The pieces among these objects (name → bytes). One whose name says another size than it has is none."""
    for called, size in sizes.items():
        found = _NAME.fullmatch(called)
        if found and size and int(found["size"] or size) == size:
            yield Span(int(found["start"]), int(found["start"]) + size, called)


def covering(pieces: Iterable[Span]) -> list[Span]:
    """The fewest pieces that have every byte from 0 on up to the first that none has, in order; they may overlap."""
    chosen: list[Span] = []
    reached = 0
    best: Span | None = None
    for piece in sorted(pieces, key=lambda piece: (piece.start, -piece.end)):
        if best is not None and piece.start > reached:
            chosen.append(best)
            reached, best = best.end, None
        if piece.start > reached:
            break
        if piece.end > (best.end if best else reached):
            best = piece
    if best is not None:
        chosen.append(best)
    return chosen


def end(chosen: Sequence[Span]) -> int:
    """How far they reach."""
    return chosen[-1].end if chosen else 0


def fresh(chosen: Sequence[Span]) -> Iterable[tuple[Span, int]]:
    """Each piece with the number of its first bytes that the ones before it have already."""
    reached = 0
    for piece in chosen:
        yield piece, reached - piece.start
        reached = piece.end
