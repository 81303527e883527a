"""What agents are kept for: the most that each offered, and the bounds on how many are kept."""

from __future__ import annotations

import pytest

from central.matching.matcher import Free
from central.matching.reservations import LOOK, MOST, Reservations, is_wide
from tests.unit.matching_scene import GB, HOUR, needs, offer, task


def test_the_whole_is_the_most_that_was_offered_in_this_epoch() -> None:
    """Each amount by itself; the seconds are those that are left now, and a new epoch begins anew."""
    kept = Reservations()
    kept.offered("s", 1, 1, Free.of(offer(cores=8, memory=4 * GB)))
    kept.offered("s", 1, 1, Free.of(offer(cores=2, memory=9 * GB, empty=False)))
    now = Free.of(offer(cores=1, memory=GB, seconds_left=HOUR, empty=False))
    whole = kept.whole("s", 1, now)
    assert whole is not None
    assert (whole.cores, whole.memory, whole.seconds, whole.empty) == (8, 9 * GB, HOUR, True)
    kept.offered("s", 1, 2, now)
    again = kept.whole("s", 1, now)
    assert again is not None
    assert again.cores == 1
    assert kept.whole("other", 1, now) is None


def test_an_empty_pilot_has_nothing_to_wait_for() -> None:
    """Where everything is free there is no more to come."""
    kept, free = Reservations(), Free.of(offer())
    kept.offered("s", 1, 1, free)
    assert kept.whole("s", 1, free) is None


def test_only_so_many_are_kept() -> None:
    """Beyond the bound nothing is kept, until a hold is over."""
    kept, free = Reservations(), Free.of(offer(cores=1, seconds_left=HOUR + 50))
    for number in range(MOST):
        assert kept.keep(f"s{number}", 1, task(number, cores=8), free, float(number))
    assert kept.keep("late", 1, task(9999, cores=8), free, 40.0) is None
    assert len(kept) == MOST
    assert kept.keep("late", 1, task(9999, cores=8), free, 51.0) is not None
    assert len(kept) < MOST


def test_an_agent_is_looked_at_from_time_to_time() -> None:
    """Looking for a queue to keep it for costs a search, and is not done for every request."""
    kept = Reservations()
    kept.offered("s", 1, 1, Free.of(offer()))
    assert [kept.may_look("s", 1, now) for now in (0.0, LOOK - 1, LOOK, LOOK + 1)] == [True, False, True, False]
    kept.forget("s", [1])
    assert not kept.may_look("s", 1, 100.0)


@pytest.mark.parametrize(
    ("asked", "wide"),
    [
        (needs(cores=8), True),
        (needs(whole_node=True), True),
        (needs(memory=9 * GB), True),
        (needs(), False),
        (needs(cores=9), False),
        (needs(wall_time=48 * HOUR), False),
    ],
)
def test_wide_is_what_would_fit_the_whole(asked: object, wide: bool) -> None:
    """A job that fits what is free, or would not fit the empty pilot either, needs no room kept."""
    free = Free.of(offer(cores=2, memory=GB, empty=False))
    assert is_wide(asked, free, Free.of(offer(cores=8))) == wide  # type: ignore[arg-type]
