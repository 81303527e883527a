"""Amounts as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot import units
from pilot.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "fixed", "per_core"),
    [
        (0, 0, 0),
        (1024, 1024, 0),
        ("1024", 1024, 0),
        ("500 MB", 500_000_000, 0),
        ("2GiB", 2 * 2**30, 0),
        ("1.5 kB", 1500, 0),
        ("2 GB + 500 MB per core", 2 * 10**9, 500_000_000),
        ("1 GB/core", 0, 10**9),
        ("1 gb + 1 GB", 2 * 10**9, 0),
    ],
)
def test_sizes(text: str | int, fixed: int, per_core: int) -> None:
    """A size is bytes, decimal and binary units told apart, with a part that grows with the cores."""
    assert units.size(text, "memory") == units.Size(fixed, per_core)


NO_SIZES = ["", "GB", "2 XB", "-1 GB", "2 GB 3", "1e3", "NaN", "10000000 PB", "700 TB + 700 TB"]
LONG = ["9" * 10_000, "1 GB + " * 10_000 + "1 GB", 10**400, -(10**400), 1e308, float("inf")]


@pytest.mark.parametrize("text", [*NO_SIZES, *LONG], ids=lambda text: str(text)[:20])
def test_sizes_refused(text: str | float) -> None:
    """What is no size, or an absurd one, is named with its place, in a line."""
    with pytest.raises(InvalidInput, match="^needs.memory: ") as caught:
        units.size(text, "needs.memory")
    assert len(str(caught.value)) < 200


def test_a_size_of_one_thing_does_not_grow_with_the_cores() -> None:
    """Where the cores mean nothing, a size per core is a mistake and not zero."""
    assert units.bytes_of("2 GB", "disk") == 2 * 10**9
    with pytest.raises(InvalidInput, match="^disk: expected a size that is the same whatever the cores"):
        units.bytes_of("2 GB + 1 GB per core", "disk")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90),
        ("90", 90),
        ("90s", 90),
        ("4h", 14400),
        ("1h30m", 5400),
        ("1 h 30 min", 5400),
        ("2d", 172800),
        ("01:30:00", 5400),
        ("1-00:00:01", 86401),
        ("10:30", 37800),
    ],
)
def test_durations(text: str | int, seconds: int) -> None:
    """A duration is seconds, by units or as a clock shows it."""
    assert units.duration(text, "wall_time") == seconds


NO_DURATIONS = ["", "h", "4 hours please", "-4h", "1:99:00", "99999d", "4 fortnights", float("nan")]


@pytest.mark.parametrize("text", [*NO_DURATIONS, *LONG, "9" * 9000 + ":00"], ids=lambda text: str(text)[:20])
def test_durations_refused(text: str | float) -> None:
    """What is no duration, or longer than a year and some, is named with its place, in a line."""
    with pytest.raises(InvalidInput, match="^wall_time: ") as caught:
        units.duration(text, "wall_time")
    assert len(str(caught.value)) < 200


@given(st.integers(0, 10**15))
def test_shown_sizes_are_close(amount: int) -> None:
    """A size shown to people, read again, is within five percent of what it was."""
    assert abs(units.size(units.show_size(amount), "").fixed - amount) <= 0.05 * amount


@given(st.integers(0, 30 * 86400))
def test_shown_durations_are_close(seconds: int) -> None:
    """A duration shown to people, read again, loses at most its smallest parts."""
    assert 0 <= seconds - units.duration(units.show_duration(seconds), "") <= max(0.05 * seconds, 0)
