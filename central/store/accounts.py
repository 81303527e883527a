"""What is counted of attempts that ended, apart from any database: how long they ran, and which sums can be used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pilot.errors import Refusal
from pilot.protocol import Usage

HOUR = 3600
#: Seconds after its end for which an hour is not summed yet: a transaction that ends attempts may still be under way.
GRACE = 600
#: Half-lives after which use counts as none: less than a millionth of it is left.
HORIZON = 20
#: Core-seconds below which use, as far as it still counts, is none.
LEAST_USE = 1e-3
#: Spans of time that one question about usage may be told apart by.
MAX_SPANS = 100_000
_MOST_BYTES = 2**62


@dataclass(frozen=True)
class Measured:
    """What an attempt used, as it is kept."""

    wall: float  # seconds
    cpu: float | None  # seconds
    memory_peak: int | None  # bytes


def measured(usage: Usage, reported: bool, started: float, ended: float) -> Measured:
    """Of the last word on its usage. `reported`: at its end by its pilot; else nobody knows when it stopped, and it
    held its cores until now. Nothing runs longer than it was leased, whatever a pilot says."""
    held = max(ended - started, 0.0)
    wall = min(usage.wall, held) if reported and usage.wall > 0 else held
    return Measured(
        wall,
        None if usage.cpu is None else max(usage.cpu, 0.0),
        None if usage.memory_peak is None else min(max(usage.memory_peak, 0), _MOST_BYTES),
    )


def summable(now: float) -> int:
    """All hours before this one are over and may be summed."""
    return int((now - GRACE) // HOUR) * HOUR


@dataclass(frozen=True)
class Parts:
    """From where to read what was used: sums of whole hours, and rows of accounting. Ranges do not overlap."""

    hours: tuple[tuple[int, int], ...]  # [first hour, end)
    rows: tuple[tuple[float, float], ...]  # [from, until)


def parts(since: float, until: float, span: float | None, summed: int) -> Parts:
    """Divide [since, until) so that no summed hour lies across its ends or those of a span. All hours before `summed`
    have sums. Raises ``invalid`` for a span that is none, and for too many of them."""
    hours: list[tuple[int, int]] = []
    rows: list[tuple[float, float]] = []
    for begin, end in _spans(since, until, span, summed):
        first = math.ceil(begin / HOUR) * HOUR
        last = summed if end >= summed else math.floor(end / HOUR) * HOUR
        if first < last:
            _join(rows, begin, first)
            _join(hours, first, last)
            _join(rows, last, end)
        else:
            _join(rows, begin, end)
    return Parts(tuple(hours), tuple(rows))


def _spans(since: float, until: float, span: float | None, summed: int) -> Iterator[tuple[float, float]]:
    """The stretches within which a summed hour may be used."""
    if span is not None and not (span > 0 and (until - since) / span <= MAX_SPANS):
        raise Refusal(
            "invalid", f"span: expected more than 0 s, and at most {MAX_SPANS:,} spans in that time, got {span:g} s"
        )
    if span is None or (span % HOUR == 0 and since % HOUR == 0):
        yield since, until  # no hour lies across two spans
        return
    number, begin = 0, since
    while begin < min(until, summed):
        number += 1
        end = min(since + number * span, until)
        yield begin, end
        begin = end
    yield begin, until


def _join(ranges: list[tuple[float, float]] | list[tuple[int, int]], begin: float, end: float) -> None:
    """Add a range, to the last one when it goes on from there."""
    if begin >= end:
        return
    if ranges and ranges[-1][1] == begin:
        begin = ranges.pop()[0]
    ranges.append((begin, end))  # type: ignore[arg-type]
