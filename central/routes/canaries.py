"""One pilot that somebody has sent to a queue to see what becomes of it; it takes no jobs."""

from __future__ import annotations

import logging

from central.configuration.settings import EXTERNAL, Queue
from central.directors import asking, canary
from central.elements.kinds import interval
from central.routes.existing import admins_beside, queue_for
from central.serving.audited import About
from central.serving.http import Call, Route
from central.store.decide import unknown_pilot
from central.trust.rules import Who, may_see_place
from pilot.errors import PilotageError, Refusal
from pilot.places import CanaryView, TestQueueRequest

log = logging.getLogger(__name__)
#: Seconds that the computing element may take to say how a pilot stands.
PATIENCE = 20.0


async def test(call: Call[TestQueueRequest]) -> CanaryView:
    """Send one pilot that takes no jobs: it looks around, says what it finds, and ends when it is told to. Another is
    sent when that one has ended."""
    queue = _led(call)
    stamp = await canary.send(call.central, queue, call.person.user, admins_beside(call))
    log.info("A queue is tested", extra={"fields": {"queue": queue.name, "pilot": stamp, "who": call.person.user}})
    call.about = About(detail=f"by the pilot {stamp}")
    return CanaryView(stamp, interval(queue))


async def how(call: Call[None]) -> CanaryView:
    """How such a pilot stands at the computing element, which is asked for it."""
    central, queue, stamp = call.central, _led(call), call.text("stamp")
    row = await central.store.pilot(stamp)
    if row.queue != queue.name or not may_see_place(call.person, row.site, row.communities):
        raise unknown_pilot(stamp)
    try:
        listed = await asking.listing(central, queue, PATIENCE)
    except PilotageError as error:
        return CanaryView(stamp, interval(queue), row.reference, problem=str(error))
    entry = next((one for one in listed if one.stamp == stamp), None)
    if entry is None:
        return CanaryView(stamp, interval(queue), row.reference)
    return CanaryView(
        stamp, interval(queue), entry.reference, entry.standing.value, " ".join(entry.why.split()), entry.exit_code
    )


def _led(call: Call[None] | Call[TestQueueRequest]) -> Queue:
    """The queue in the path. Raises ``not-found``, and ``conflict`` for one that has no director."""
    queue = queue_for(call, call.text("name"))
    if queue.kind == EXTERNAL:
        raise Refusal(
            "conflict", f"the queue {queue.name} is external: others start its pilots, and the central can send none"
        )
    return queue


_QUEUE = "/v1/queues/{name:name}"
_CALLERS = (Who.OPERATOR, Who.SITE_ADMIN)
ROUTES = (
    Route(
        "POST",
        f"{_QUEUE}/test",
        test,
        _CALLERS,
        "Send a pilot that takes no jobs",
        message=TestQueueRequest,
        reply=CanaryView,
        status=201,
        audit="queue.test",
    ),
    Route(
        "GET",
        f"{_QUEUE}/tests/{{stamp:stamp}}",
        how,
        _CALLERS,
        "How a pilot stands at the computing element",
        reply=CanaryView,
    ),
)
