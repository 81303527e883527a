"""What people ask of queues and sites, and the pauses of queues that operators begin and end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from central.configuration.settings import EXTERNAL, Queue
from central.serving.http import Call, Route
from central.serving.journal import in_a_line
from central.trust.rules import Who, community_of
from pilot.errors import InvalidInput, Refusal
from pilot.queues import PauseQueueRequest, PauseView, QueuePage, QueueView, ResumeQueueRequest, SitePage, SiteView

log = logging.getLogger(__name__)

MAX_PAGE = 1000
#: Characters of the reason of a pause.
MAX_REASON = 500

_Call = Call[None] | Call[PauseQueueRequest] | Call[ResumeQueueRequest]


async def queues(call: Call[None]) -> QueuePage:
    """The configured queues that serve the caller: what each offers and has, and what its director decided."""
    community = community_of(call.person)
    shown = [queue for queue in call.central.settings.queues if community is None or community in queue.communities]
    pauses = await _pauses(call)
    return QueuePage(tuple([await _queue(call, queue, pauses) for queue in shown]))


async def sites(call: Call[None]) -> SitePage:
    """The sites and their queues."""
    community = community_of(call.person)
    settings = call.central.settings
    return SitePage(
        tuple(
            SiteView(
                site.name,
                tuple(
                    queue.name
                    for queue in settings.queues
                    if queue.site == site.name and (community is None or community in queue.communities)
                ),
            )
            for site in settings.sites
        )
    )


async def _pauses(call: _Call) -> dict[str, PauseView]:
    """The queues that are paused now."""
    return {one.queue: PauseView(one.who, one.reason, one.since) for one in await call.central.store.pauses()}


async def _queue(call: _Call, queue: Queue, pauses: Mapping[str, PauseView]) -> QueueView:
    counts: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        rows, cursor = await call.central.store.pilots(None, queue=queue.name, cursor=cursor, limit=MAX_PAGE)
        counts.update(row.state.value for row in rows)
        if cursor is None:
            break
    outlook = call.central.outlook(queue)
    paused = pauses.get(queue.name)
    return QueueView(
        queue.name, queue.site, queue.kind, queue.slots, dict(counts), outlook.demand, outlook.decision, paused
    )


async def pause(call: Call[PauseQueueRequest]) -> QueueView:
    """Send no pilots to a queue until it is resumed. Those that are there go on."""
    reason = " ".join(call.message.reason.split())
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidInput("reason", f"expected a reason of 1 to {MAX_REASON} characters, for whoever asks why")
    queue = _led(call)
    before = (await _pauses(call)).get(queue.name)
    await call.central.store.pause_queue(queue.name, call.person.user, reason)
    call.central.decided(queue.name, f"paused by {call.person.user}: {reason}")
    log.info(
        "A queue is paused",
        extra={"fields": {"queue": queue.name, "who": call.person.user, "reason": in_a_line(reason)}},
    )
    return replace(await _queue(call, queue, await _pauses(call)), instead_of=before)


async def resume(call: Call[ResumeQueueRequest]) -> QueueView:
    """Send pilots to a queue again."""
    queue = _led(call)
    if not await call.central.store.resume_queue(queue.name, call.person.user):
        raise Refusal("conflict", f"the queue {queue.name} is not paused")
    call.central.decided(queue.name, f"resumed by {call.person.user}; its director has not looked since")
    log.info("A queue is resumed", extra={"fields": {"queue": queue.name, "who": call.person.user}})
    return await _queue(call, queue, await _pauses(call))


def _led(call: Call[PauseQueueRequest] | Call[ResumeQueueRequest]) -> Queue:
    """The queue in the path. Raises ``not-found``, and ``conflict`` for one that has no director."""
    name, queues = call.text("name"), call.central.settings.queues
    queue = next((queue for queue in queues if queue.name == name), None)
    if queue is None:
        known = ", ".join(queue.name for queue in queues) or "none"
        raise Refusal("not-found", f"there is no queue {name}; there are: {known}")
    if queue.kind == EXTERNAL:
        raise Refusal("conflict", f"the queue {name} is external: no director sends pilots there that could be paused")
    return queue


ROUTES = (
    Route("GET", "/v1/queues", queues, (Who.MEMBER,), "The configured queues", reply=QueuePage),
    Route(
        "POST",
        "/v1/queues/{name:name}/pause",
        pause,
        (Who.OPERATOR,),
        "Send no pilots to a queue",
        message=PauseQueueRequest,
        reply=QueueView,
    ),
    Route(
        "POST",
        "/v1/queues/{name:name}/resume",
        resume,
        (Who.OPERATOR,),
        "Send pilots to a queue again",
        message=ResumeQueueRequest,
        reply=QueueView,
    ),
    Route("GET", "/v1/sites", sites, (Who.MEMBER,), "The configured sites", reply=SitePage),
)
