"""From where to read what was used, and how long an attempt ran."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.store.accounts import GRACE, HOUR, MAX_SPANS, Parts, measured, parts, summable
from pilot.errors import Refusal
from pilot.protocol import Usage

DAY = 24 * HOUR


def test_whole_hours_are_read_as_sums() -> None:
    """What is left at both ends, and what is not summed yet, is read as rows."""
    assert parts(1800, 5 * HOUR + 60, None, DAY) == Parts(
        hours=((HOUR, 5 * HOUR),), rows=((1800, HOUR), (5 * HOUR, 5 * HOUR + 60))
    )
    assert parts(0, DAY, None, 3 * HOUR) == Parts(hours=((0, 3 * HOUR),), rows=((3 * HOUR, DAY),))
    assert parts(0, DAY, None, 0) == Parts(hours=(), rows=((0, DAY),))
    assert parts(10, 20, None, DAY) == Parts(hours=(), rows=((10, 20),))


def test_spans_of_whole_hours_need_no_rows() -> None:
    """However many spans there are, sums are read in one stretch when every hour lies within one of them."""
    assert parts(0, 10 * DAY, DAY, 20 * DAY) == Parts(hours=((0, 10 * DAY),), rows=())


def test_an_hour_across_two_spans_is_read_as_rows() -> None:
    """Its sum could not be divided."""
    assert parts(0, 4 * HOUR, 1.5 * HOUR, DAY) == Parts(
        hours=((0, HOUR), (2 * HOUR, 4 * HOUR)), rows=((HOUR, 2 * HOUR),)
    )


def test_an_empty_time() -> None:
    """Nothing is read, and nothing is wrong."""
    assert parts(100, 100, None, DAY) == parts(100, 50, None, DAY) == Parts((), ())


def test_an_endless_time() -> None:
    """Until whenever, as long as nobody asks for spans of it."""
    assert parts(0, float("inf"), None, HOUR).hours == ((0, HOUR),)


@pytest.mark.parametrize("span", [0.0, -1.0, float("nan"), (DAY - 1) / MAX_SPANS])
def test_spans_that_are_none_and_too_many(span: float) -> None:
    """They are refused."""
    with pytest.raises(Refusal, match="span"):
        parts(0, DAY, span, 0)


@given(
    since=st.integers(0, 40_000),
    length=st.integers(0, 100_000),
    span=st.none() | st.integers(500, 30_000),
    summed=st.integers(0, 30),
    moments=st.lists(st.integers(0, 150_000), max_size=50),
)
def test_every_moment_is_read_once(since: int, length: int, span: int | None, summed: int, moments: list[int]) -> None:
    """Either in a sum or as a row; no sum is read of an hour that has none, or that lies across spans."""
    until = since + length
    found = parts(since, until, span, summed * HOUR)
    for moment in moments:
        within = [begin <= moment < end for begin, end in (*found.hours, *found.rows)]
        assert sum(within) == (since <= moment < until)
    for begin, end in found.hours:
        assert begin % HOUR == end % HOUR == 0
        assert since <= begin < end <= min(until, summed * HOUR)
        if span is not None:
            for hour in range(begin, end, HOUR):
                assert (hour - since) // span == (hour + HOUR - 1 - since) // span


def test_an_hour_is_summed_when_nothing_more_can_end_in_it() -> None:
    """Ten minutes after its end."""
    assert summable(2 * HOUR + GRACE - 1) == HOUR
    assert summable(2 * HOUR + GRACE) == 2 * HOUR


@pytest.mark.parametrize(
    ("wall", "reported", "held", "expected"),
    [
        (80.0, True, 100.0, 80.0),
        (0.0, True, 100.0, 100.0),  # it could not say
        (80.0, False, 100.0, 100.0),  # the pilot went, and held the cores until that was known
        (1e300, True, 100.0, 100.0),
        (80.0, True, -5.0, 0.0),  # the clock was set back
    ],
)
def test_how_long_it_ran(wall: float, reported: bool, held: float, expected: float) -> None:
    """As measured, and never longer than it was leased."""
    assert measured(Usage(wall=wall), reported, 1000.0, 1000.0 + held).wall == expected


def test_absurd_measurements() -> None:
    """They are brought into bounds; what was not measured stays unknown."""
    used = measured(Usage(wall=1.0, cpu=-1.0, memory_peak=2**70), True, 0.0, 10.0)
    assert (used.cpu, used.memory_peak) == (0.0, 2**62)
    used = measured(Usage(wall=1.0), True, 0.0, 10.0)
    assert (used.cpu, used.memory_peak) == (None, None)
