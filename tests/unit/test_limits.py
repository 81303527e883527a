"""Limits as the matcher sees them: what counts against which, and when a full one is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.matching.limits import RETRY, SOON, Limits, is_full
from central.records import Limit, LimitUse, TaskQueue
from central.store.limiting import Place, counts, demanded_tags
from tests.unit.matching_scene import task

_NAMES = st.one_of(st.none(), st.sampled_from(["a", "b"]))
_LIMITS = st.builds(
    Limit,
    name=st.just("l"),
    attempts=st.just(1),
    site=_NAMES,
    queue=_NAMES,
    community=_NAMES,
    group=_NAMES,
    owner=_NAMES,
    tag=_NAMES,
)
_AB = st.sampled_from(["a", "b"])
_TASKS = st.builds(
    lambda community, group, owner, tags: TaskQueue(1, community, group, owner, task(tags=tags).needs),
    _AB,
    _AB,
    _AB,
    st.sampled_from(["", "a", "b", "a & b", "a | b", "~a"]),
)


@given(_LIMITS, _TASKS, _AB, _AB)
def test_what_counts_against_a_limit_is_what_the_store_says(
    limit: Limit, queue: TaskQueue, site: str, door: str
) -> None:
    """The matcher and the store agree for every job and place."""
    limits = Limits([limit])
    place = Place(site, door, queue.community, queue.group, queue.owner, demanded_tags(queue.needs.tags))
    assert bool(limits.of_queue(queue) & limits.at(site, door)) == counts(limit, place)


@given(_LIMITS, _TASKS)
def test_a_limit_on_a_party_counts_all_of_its_jobs(limit: Limit, queue: TaskQueue) -> None:
    """What is said of a community, a group or an owner as a whole holds for each of its queues."""
    limits = Limits([limit])
    of_queue = limits.of_queue(queue)
    for path in (
        (queue.community,),
        (queue.community, queue.group),
        (queue.community, queue.group, queue.owner),
    ):
        assert limits.of_party(*path) & ~of_queue == 0
    if limit.tag is None:
        assert limits.of_party(queue.community, queue.group, queue.owner) == of_queue


@pytest.mark.parametrize(
    ("limit", "attempts", "cores", "full"),
    [
        (Limit("l", attempts=2), 1, 99, False),
        (Limit("l", attempts=2), 2, 2, True),
        (Limit("l", attempts=2), 3, 3, True),
        (Limit("l", cores=8), 1, 7, False),
        (Limit("l", cores=8), 1, 8, True),
        (Limit("l", attempts=9, cores=8), 1, 8, True),
        (Limit("l", attempts=0), 0, 0, True),
        (Limit("l"), 5, 5, False),
    ],
)
def test_full(limit: Limit, attempts: int, cores: int, full: bool) -> None:
    """A limit is full when not even a job of one core has room."""
    assert is_full(LimitUse(limit, attempts, cores)) == full


def test_a_full_limit_is_tried_again_after_a_while() -> None:
    """Closed, it becomes due; while one tries it, it is not due for others."""
    limits = Limits([Limit("l", attempts=1)])
    bit = limits.bit("l")
    limits.close({"l": 1}, 100.0)
    assert (limits.closed, limits.due(100.0)) == (bit, 0)
    assert limits.next_due() == 100.0 + RETRY
    assert limits.due(100.0 + RETRY) == bit
    limits.trying(bit, 100.0 + RETRY)
    assert limits.due(100.0 + RETRY) == 0
    assert limits.open(["l"])
    assert (limits.closed, limits.next_due()) == (0, None)


def test_an_end_makes_it_due_soon() -> None:
    """When attempts have ended it is worth a try earlier, but not many times in a second."""
    limits = Limits([Limit("l", attempts=1)])
    limits.close({"l": 1}, 100.0)
    limits.ended(100.1)
    limits.ended(100.2)
    assert limits.next_due() == 100.0 + SOON
    limits.close({"l": 1}, 101.0)
    limits.ended(105.5)
    assert limits.due(105.5) == limits.bit("l")


def test_narrow_jobs_may_pass_where_wide_ones_found_no_room() -> None:
    """A limit on cores that had no room for eight may have some for one; one on attempts has none for anybody."""
    limits = Limits([Limit("cores", cores=10), Limit("attempts", attempts=3)])
    limits.close({"cores": 8}, 0.0)
    bit = limits.bit("cores")
    assert limits.closed == 0
    assert [limits.shuts_out(bit, cores) for cores in (1, 7, 8, 9)] == [False, False, True, True]
    limits.close({"attempts": 8}, 0.0)
    assert limits.shuts_out(limits.bit("attempts"), 1)


def test_what_the_store_says_counts() -> None:
    """Reading the limits closes those that are full, opens the others, and takes new definitions over."""
    one, two = Limit("one", attempts=1), Limit("two", attempts=1)
    limits = Limits()
    assert not limits.load([LimitUse(one, 1, 1), LimitUse(two, 0, 0)], 0.0)
    assert limits.closed == limits.bit("one")
    version = limits.version
    assert limits.load([LimitUse(one, 0, 0), LimitUse(two, 1, 1)], 1.0)
    assert (limits.closed, limits.version) == (limits.bit("two"), version)
    limits.load([LimitUse(two, 0, 0)], 2.0)
    assert (limits.closed, limits.names(limits.bit("two"))) == (0, ("two",))
    assert limits.version == version + 1
