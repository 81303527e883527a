"""What counts against a limit, and how much room there is."""

from __future__ import annotations

import pytest

from central.records import Limit, LimitUse, Pick
from central.store.limiting import Counting, Place, check, counts, demanded_tags, room
from pilot.errors import Refusal

PLACE = Place("here", "local", "atlas", "physics", "ada", frozenset({"gpu", "licence"}))


@pytest.mark.parametrize(
    ("limit", "counted"),
    [
        (Limit("all"), True),
        (Limit("all of it", None, None, "here", "local", "atlas", "physics", "ada", "gpu"), True),
        (Limit("site", site="there"), False),
        (Limit("queue", site="here", queue="night"), False),
        (Limit("group", community="lhcb", group="physics"), False),
        (Limit("owner", owner="bob"), False),
        (Limit("tag", tag="arm"), False),
    ],
    ids=lambda value: value.name if isinstance(value, Limit) else "",
)
def test_all_that_every_field_names(limit: Limit, counted: bool) -> None:
    """Fields that are not given ask nothing, and each one that is given must hold."""
    assert counts(limit, PLACE) is counted


def test_only_demanded_tags_count() -> None:
    """Not those that a job could do without, or will not have."""
    assert demanded_tags("gpu & (avx2 | arm) & ~slow") == {"gpu"}
    assert demanded_tags("") == frozenset()


@pytest.mark.parametrize(
    ("limit", "cores", "left"),
    [
        (Limit("none"), 1, None),
        (Limit("attempts", attempts=5), 8, 3),
        (Limit("cores", cores=20), 8, 2),
        (Limit("both", attempts=5, cores=11), 8, 0),
        (Limit("below what runs", attempts=1), 1, 0),
        (Limit("of a job without cores", cores=20), 0, 16),
    ],
    ids=lambda value: value.name if isinstance(value, Limit) else "",
)
def test_room(limit: Limit, cores: int, left: int | None) -> None:
    """As many more attempts as fit below both bounds, of which 2 with 4 cores are out."""
    assert room(LimitUse(limit, 2, 4), cores) == left


def test_picks_of_one_claim_are_counted_together() -> None:
    """Each sees what the ones before it took; the limit that held one back is named, an empty queue is no limit."""
    counting = Counting([LimitUse(Limit("few", attempts=5), 0, 0), LimitUse(Limit("many", attempts=50), 1, 1)])
    first, second, third = (Pick(queue, 3, 2, ("few", "many", "unknown")) for queue in (1, 2, 3))
    assert counting.known(first.limits) == ("few", "many")
    assert counting.allowed(first) == 3
    counting.took(first, 3, 1)
    assert (counting.allowed(second), counting.limited) == (3, ())
    counting.took(second, 3, 3)
    assert counting.allowed(third) == 1
    counting.took(third, 1, 1)
    assert counting.limited == ("few",)
    assert [(use.limit.name, use.attempts, use.cores) for use in counting.changed] == [("few", 5, 10), ("many", 6, 11)]


def test_what_was_not_touched_is_not_written() -> None:
    """A pick that got nothing changes no counter."""
    counting = Counting([LimitUse(Limit("few", attempts=0), 0, 0)])
    counting.took(Pick(1, 3, 2, ("few",)), 0, 0)
    assert (counting.changed, counting.limited) == ((), ("few",))


def test_names_are_unique() -> None:
    """Two limits of one name are refused, with the name."""
    check([Limit("a"), Limit("b")])
    with pytest.raises(Refusal, match="'b' is there twice"):
        check([Limit("a"), Limit("b"), Limit("b", attempts=1)])
