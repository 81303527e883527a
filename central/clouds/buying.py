"""What a machine of the spot market will cost: pure, by the prices of the last day. Prices are of an hour, times in
seconds since the epoch. What a queue makes of it is decided in `central/directors/choosing.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Seconds of the past that a price is judged by.
DAY = 86400.0


@dataclass(frozen=True)
class Quote:
    """A price of the spot market, from a moment on until the next of its zone."""

    at: float
    hour: float
    zone: str = ""


@dataclass(frozen=True)
class Market:
    """What an hour costs now in a zone, and cost in the last day: the price of half of the time, and the highest."""

    zone: str
    now: float
    median: float
    peak: float
    over: float = 0.0  # part of the day, 0 to 1, in which it was above the bid


def market(quotes: Sequence[Quote], now: float, bid: float = math.inf, span: float = DAY) -> Market | None:
    """The zone that was the cheapest for the longest; None: nothing is known. What was quoted before `span` seconds ago
    counts until the next quote."""
    zones = {quote.zone for quote in quotes if quote.at <= now}
    markets = [_zone([quote for quote in quotes if quote.zone == zone], now, bid, span) for zone in sorted(zones)]
    return min(markets, key=lambda one: (one.median, one.now), default=None)


def expected(found: Market, bid: float = math.inf) -> float | None:
    """What an hour will cost, the hours included in which there will be no machine for that bid; None: not even now is
    there one. What is paid is the market's price, however high the bid."""
    if found.now > bid or found.over >= 1:
        return None
    return max(found.median, found.now) / (1 - found.over)


def _zone(quotes: Sequence[Quote], now: float, bid: float, span: float) -> Market:
    """Of one zone."""
    known = sorted((quote for quote in quotes if quote.at <= now), key=lambda quote: quote.at)
    lasted = list(_lasted(known, now - span, now))
    whole = sum(seconds for _, seconds in lasted)
    over = sum(seconds for hour, seconds in lasted if hour > bid) / whole if whole else 0.0
    peak = max((hour for hour, _ in lasted), default=known[-1].hour)
    return Market(known[-1].zone, known[-1].hour, _median(lasted, known[-1].hour), peak, over)


def _lasted(quotes: Sequence[Quote], since: float, until: float) -> Iterator[tuple[float, float]]:
    """Each price, and for how many seconds of that time it held."""
    for quote, then in pairwise([*quotes, Quote(until, 0.0)]):
        seconds = then.at - max(quote.at, since)
        if seconds > 0:
            yield quote.hour, seconds


def _median(lasted: Sequence[tuple[float, float]], default: float) -> float:
    half = sum(seconds for _, seconds in lasted) / 2
    for hour, seconds in sorted(lasted):
        half -= seconds
        if half <= 0:
            return hour
    return default
