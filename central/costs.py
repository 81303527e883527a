"""What machines cost, told apart by community, place and day: pure sums over what was bought.

A machine is paid from its beginning to its end, begun periods as whole ones. Whose cost that is follows what its cores
did in its whole life: the part that was booked to a community is that community's, day by day.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from central.records import Bought
from pilot.use import CostRow


@dataclass
class _Sum:
    """Of one row."""

    pilots: set[str] = field(default_factory=set)
    seconds: float = 0.0
    cost: float = 0.0
    good: float = 0.0


def costs(
    bought: Sequence[Bought], by: Sequence[str], since: float, until: float, now: float, community: str | None = None
) -> tuple[CostRow, ...]:
    """What was paid for the time in [since, until), told apart by `by` and by currency, in the order of these; what
    lives is paid until `now`. `community`: of this one alone; None: of all."""
    sums: dict[tuple[tuple[str, ...], str], _Sum] = {}
    for one in bought:
        for day, seconds in _days(one, since, until, now, "day" in by):
            for whose, part, good in _parts(one.booked):
                if community not in (None, whose):
                    continue
                values = {"community": whose, "site": one.site, "queue": one.queue, "day": day, "pilot": one.stamp}
                key = (tuple(values[name] for name in by), one.tariff.currency)
                _add(sums.setdefault(key, _Sum()), one, seconds, part, good)
    return tuple(
        CostRow(keys, currency, len(one.pilots), one.seconds, one.cost, one.good)
        for (keys, currency), one in sorted(sums.items())
    )


def _add(row: _Sum, one: Bought, seconds: float, part: float, good: float) -> None:
    cost = one.tariff.hour * seconds / 3600
    row.pilots.add(one.stamp)
    row.seconds += seconds * part
    row.cost += cost * part
    row.good += cost * good


def paid_until(one: Bought, now: float) -> float:
    """When the last period of a machine is over that is paid."""
    end = now if one.ended is None else one.ended
    period = one.tariff.period
    return one.begun + math.ceil((end - one.begun) / period) * period if period and end > one.begun else end


def _days(one: Bought, since: float, until: float, now: float, apart: bool) -> Iterator[tuple[str, float]]:
    """For how many seconds it was paid on each day of the time; the day is empty where days are not told apart."""
    begin, end = max(one.begun, since), min(paid_until(one, now), until)
    if not apart:
        if end > begin:
            yield "", end - begin
        return
    while begin < end:
        day = datetime.fromtimestamp(begin, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        midnight = (day + timedelta(days=1)).timestamp()
        yield day.date().isoformat(), min(midnight, end) - begin
        begin = midnight


def _parts(booked: Mapping[str, tuple[int, int]]) -> Collection[tuple[str, float, float]]:
    """Each community with its part of the whole, 0 to 1, and the part that was good."""
    whole = sum(amount for amount, _ in booked.values())
    if not whole:  # it has told nothing: evenly
        return [(name, 1 / len(booked), 0.0) for name in booked]
    return [(name, amount / whole, good / whole) for name, (amount, good) in booked.items()]
