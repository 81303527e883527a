"""What machines cost, told apart by community, place and day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.costs import costs, paid_until
from central.records import Bought, Tariff
from pilot.use import CostRow

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0
#: Lived from noon for six hours, at 2 dollars an hour.
ONE = Bought("01", "aws", "aws-c5", NOON, NOON + 6 * HOUR, Tariff(2.0, "USD"), {"hep": (100, 80)})
EVER = (0.0, NOON + 1000 * DAY)


def told(*bought: Bought, by: tuple[str, ...] = (), now: float = NOON + 100 * DAY) -> tuple[CostRow, ...]:
    return costs(bought, by, *EVER, now)


def test_price_times_life() -> None:
    """A machine costs its price for each hour that it lived; what went into good payloads is a part of that."""
    assert told(ONE) == (CostRow((), "USD", 1, 6 * HOUR, 12.0, 12.0 * 0.8),)


def test_one_that_lives() -> None:
    """A machine that lives is paid until now."""
    (row,) = told(replace(ONE, ended=None), now=NOON + HOUR)
    assert (row.seconds, row.cost) == (HOUR, 2.0)


def test_only_the_time_that_was_asked_for() -> None:
    """Of a machine that was there before and afterwards the time in between counts; of others nothing."""
    (row,) = costs([ONE], (), NOON + HOUR, NOON + 3 * HOUR, NOON + DAY)
    assert row.cost == 4.0
    assert costs([ONE], (), NOON + DAY, NOON + 2 * DAY, NOON + 3 * DAY) == ()
    assert costs([ONE], (), 0.0, NOON, NOON + 3 * DAY) == ()


def test_days_are_told_apart() -> None:
    """A machine that lived over midnight costs something on both days."""
    rows = told(replace(ONE, ended=NOON + 36 * HOUR + HOUR), by=("day",))
    assert [(row.keys, row.cost) for row in rows] == [
        (("2026-11-27",), 24.0),
        (("2026-11-28",), 48.0),
        (("2026-11-29",), 2.0),
    ]


def test_communities_share_a_machine() -> None:
    """What the cores did for each community is its part of the cost; what was nobody's is shown as such."""
    shared = replace(ONE, booked={"hep": (60, 60), "bio": (30, 0), "": (10, 0)})
    rows = told(shared, by=("community",))
    assert [row.keys[0] for row in rows] == ["", "bio", "hep"]
    assert [row.cost for row in rows] == pytest.approx([1.2, 3.6, 7.2])
    assert [row.good for row in rows] == pytest.approx([0.0, 0.0, 7.2])
    assert [row.pilots for row in rows] == [1, 1, 1]
    (mine,) = costs([shared], (), *EVER, NOON, "bio")
    assert mine.cost == pytest.approx(3.6)


def test_one_that_told_nothing() -> None:
    """A machine whose pilot never said what its cores did is its community's, and good for nothing."""
    (row,) = told(replace(ONE, booked={"hep": (0, 0)}), by=("community",))
    assert (row.keys, row.cost, row.good) == (("hep",), 12.0, 0.0)


@pytest.mark.parametrize(("lived", "paid"), [(0.0, 0.0), (1.0, HOUR), (HOUR, HOUR), (HOUR + 1, 2 * HOUR)])
def test_begun_hours_are_paid(lived: float, paid: float) -> None:
    """Where a cloud is paid by the hour, a begun one is paid."""
    hourly = replace(ONE, ended=NOON + lived, tariff=Tariff(2.0, "USD", 3600))
    assert paid_until(hourly, NOON) - NOON == paid
    assert sum(row.cost for row in told(hourly)) == pytest.approx(2.0 * paid / HOUR)


def test_currencies_are_not_added_up() -> None:
    """Euros and dollars have a row each."""
    rows = told(ONE, replace(ONE, stamp="02", tariff=Tariff(1.0, "EUR")))
    assert [(row.currency, row.cost) for row in rows] == [("EUR", 6.0), ("USD", 12.0)]


def test_pilots_are_counted_once_a_row() -> None:
    """A machine of two communities and two days is one pilot in each row."""
    two = replace(ONE, ended=NOON + DAY, booked={"hep": (1, 0), "bio": (1, 0)})
    assert [row.pilots for row in told(two, by=("site",))] == [1]
    assert [row.pilots for row in told(two, replace(two, stamp="02"), by=("day", "community"))] == [2, 2, 2, 2]


@given(
    st.lists(
        st.builds(
            lambda number, begun, lived, hour, period, hep, bio: Bought(
                f"{number:02}",
                "aws",
                "q",
                NOON + begun,
                NOON + begun + lived,
                Tariff(hour, "USD", period),
                {"hep": (hep, hep // 2), "bio": (bio, 0)},
            ),
            st.integers(0, 99),
            st.floats(-DAY, DAY),
            st.floats(0, 3 * DAY),
            st.floats(0, 10),
            st.sampled_from([0, 60, 3600]),
            st.integers(0, 1000),
            st.integers(0, 1000),
        ),
        max_size=5,
    )
)
def test_it_adds_up(bought: list[Bought]) -> None:
    """However costs are told apart, they are the same in all, and what was good is never more than that."""
    whole = sum(row.cost for row in told(*bought))
    for by in (("day",), ("community",), ("pilot", "day", "community")):
        rows = told(*bought, by=by)
        assert sum(row.cost for row in rows) == pytest.approx(whole)
        assert all(row.good <= row.cost + 1e-9 for row in rows)
