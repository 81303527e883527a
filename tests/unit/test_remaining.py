"""Which jobs an offer misses for want of time alone."""

from __future__ import annotations

from central.matching.remaining import least_time
from central.records import TaskQueue
from pilot.protocol import UNLIMITED, Amount, Needs, Offer


def offer(left: Amount, cores: int = 2) -> Offer:
    return Offer("here", "test", cores=cores, memory=10**9, seconds_left=left, communities=("physics",))


def queue(number: int, community: str = "physics", **needs: object) -> TaskQueue:
    return TaskQueue(number, community, "users", "anna", Needs(**needs))  # type: ignore[arg-type]


def test_the_shortest_of_those_that_only_lack_time() -> None:
    """Jobs that need more in other ways do not count, nor those of other communities."""
    waiting = [
        queue(1, wall_time=7200),
        queue(2, wall_time=3600),
        queue(3, wall_time=1800, cores=4, max_cores=4),
        queue(4, wall_time=1800, tags="gpu"),
        queue(5, community="biology", wall_time=1800),
    ]
    assert least_time(offer(1000), waiting) == 3600


def test_nothing_lacks_time() -> None:
    """With time without end, unknown, or enough for what waits, there is no such job."""
    assert least_time(offer(UNLIMITED), [queue(1)]) is None
    assert least_time(offer(None), [queue(1)]) is None
    assert least_time(offer(7200), [queue(1, wall_time=3600)]) is None
    assert least_time(offer(1000), []) is None
