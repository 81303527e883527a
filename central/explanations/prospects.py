"""What one who submits jobs is told of the queues that could run them."""

from __future__ import annotations

from collections.abc import Sequence

from central.explanations.paused import Pauses, warning
from central.matching.matcher import distance, failures, fits
from central.records import TaskQueue
from pilot.protocol import Needs, Offer


def never_satisfiable(needs: Needs, community: str, offers: Sequence[Offer]) -> str | None:
    """Why no configured queue could ever run such a job, where `offers` are what their pilots would offer."""
    queue = TaskQueue(0, community, "", "", needs)
    serving = [offer for offer in offers if community in offer.communities]
    if any(fits(queue, offer) for offer in serving):
        return None
    if not serving:
        return f"no configured queue serves {community}"
    nearest = min(serving, key=lambda offer: distance(failures(queue, offer)))
    misses = "; ".join(str(miss) for miss in failures(queue, nearest))
    return f"no configured queue can run it; at the nearest, {nearest.queue}, it {misses}"


def no_pilots(needs: Needs, community: str, offers: Sequence[Offer], paused: Pauses) -> str | None:
    """Why no pilot is sent for such a job: now, because of the queues that are paused, or ever."""
    if why := never_satisfiable(needs, community, offers):
        return why
    queue = TaskQueue(0, community, "", "", needs)
    return warning([one.queue for one in offers if paused and fits(queue, one)], paused)
