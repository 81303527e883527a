"""Whether nothing but the time that is left keeps waiting jobs from an offer."""

from __future__ import annotations

from collections.abc import Sequence

from central.matching.matcher import amount_misses, kind_fits
from central.records import TaskQueue
from pilot.protocol import Offer


def least_time(offer: Offer, waiting: Sequence[TaskQueue]) -> int | None:
    """Seconds that the shortest job needs of those for which nothing but time is lacking; None: there is none.

    Time only gets less: unless a shorter job is submitted, such an offer gets nothing any more.
    """
    if not isinstance(offer.seconds_left, int):
        return None
    times = [queue.needs.wall_time for queue in waiting if kind_fits(queue, offer) and _time_alone(queue, offer)]
    return min(times, default=None)


def _time_alone(queue: TaskQueue, offer: Offer) -> bool:
    return [miss.need for miss in amount_misses(queue.needs, offer)] == ["wall_time"]
