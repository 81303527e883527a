"""What a spot machine will cost, by the prices of the last day."""

from __future__ import annotations

import pytest

from central.clouds.buying import DAY, Quote, expected, market

NOW = 1_000_000.0
HOUR = 3600.0


def test_nothing_is_known_without_quotes() -> None:
    """Where no price was quoted there is no market; a quote of the future does not count."""
    assert market([], NOW) is None
    assert market([Quote(NOW + 1, 0.1)], NOW) is None


def test_the_price_of_half_of_the_time() -> None:
    """The median is by time, not by quotes: ten quotes within a minute say nothing of the day."""
    spikes = [Quote(NOW - 60 - number, 9.0) for number in range(10)]
    found = market([Quote(NOW - DAY, 0.02), *spikes, Quote(NOW - 30, 0.03)], NOW)
    assert found
    assert (found.now, found.median, found.peak) == (0.03, 0.02, 9.0)


def test_a_quote_holds_until_the_next() -> None:
    """One that was quoted before the day counts for as long as it held, one that no hour of the day had does not."""
    found = market([Quote(NOW - 3 * DAY, 5.0), Quote(NOW - 2 * DAY, 0.04), Quote(NOW - 6 * HOUR, 0.05)], NOW)
    assert found
    assert (found.now, found.median, found.peak) == (0.05, 0.04, 0.05)


def test_the_cheapest_zone() -> None:
    """The zone that was cheap for the longest is told, not one that is so at this moment."""
    quotes = [Quote(NOW - DAY, 0.03, "a"), Quote(NOW - DAY, 0.09, "b"), Quote(NOW - 60, 0.01, "b")]
    found = market(quotes, NOW)
    assert found
    assert found.zone == "a"


def test_a_single_quote() -> None:
    """One quote, made this moment, is all three prices."""
    found = market([Quote(NOW, 0.07, "a")], NOW)
    assert found
    assert (found.now, found.median, found.peak, found.over) == (0.07, 0.07, 0.07, 0.0)


@pytest.mark.parametrize(
    ("bid", "hour"),
    [
        (1.0, 0.02),  # never above it: the usual price
        (0.05, 0.02 / 0.75),  # a quarter of the day there was no machine for that bid
        (0.01, None),  # there is none now
    ],
)
def test_what_an_hour_will_cost(bid: float, hour: float | None) -> None:
    """The market's price is paid, not the bid; hours without a machine make those with one dearer."""
    found = market([Quote(NOW - DAY, 0.02), Quote(NOW - 12 * HOUR, 0.08), Quote(NOW - 6 * HOUR, 0.02)], NOW, bid)
    assert found
    told = expected(found, bid)
    assert told == (hour if hour is None else pytest.approx(hour))


def test_a_price_that_has_just_risen() -> None:
    """Of the usual price and that of now the higher one is expected."""
    found = market([Quote(NOW - DAY, 0.02), Quote(NOW - 60, 0.05)], NOW)
    assert found
    assert expected(found) == 0.05
