"""What people ask of queues and sites, and the pauses of queues and bans of sites that operators and site admins begin
and end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from central.configuration.in_force import QUEUE
from central.configuration.settings import EXTERNAL, Queue
from central.records import Pause
from central.routes.existing import admins_beside, queue_for, queues_for, site_for, sites_for
from central.serving.http import Call, Route
from central.serving.journal import in_a_line
from central.trust.rules import Who, community_of
from pilot.errors import InvalidInput, Refusal
from pilot.queues import (
    BanSiteRequest,
    PauseQueueRequest,
    PauseView,
    PilotsWait,
    QueueExplanation,
    QueuePage,
    QueueView,
    ResumeQueueRequest,
    SitePage,
    SiteView,
    UnbanSiteRequest,
)

log = logging.getLogger(__name__)

#: Characters of the reason of a pause.
MAX_REASON = 500
#: Seconds for which a pause may be asked.
MAX_SECONDS = 10 * 366 * 86400.0

_Order = Call[PauseQueueRequest] | Call[ResumeQueueRequest] | Call[BanSiteRequest] | Call[UnbanSiteRequest]
_Call = Call[None] | _Order


async def queues(call: Call[None]) -> QueuePage:
    """The configured queues that serve the caller: what each offers and has, and what its director decided; for
    operators also those that were added and are not used."""
    shown = queues_for(call)
    unused = _unused(call)
    names = {*(queue.name for queue in shown), *unused}
    pauses, counts = await _paused(call), await call.central.store.pilot_counts(sorted(names))
    views = [_view_of(call, queue, pauses, counts.get(queue.name, {})) for queue in shown]
    others = sorted(names.difference(view.name for view in views))
    return QueuePage(
        (
            *(replace(view, problem=unused.get(view.name, "")) for view in views),
            *(QueueView(name, "", "", 0, dict(counts.get(name, {})), problem=unused[name]) for name in others),
        )
    )


def _unused(call: _Call) -> dict[str, str]:
    """The queues that operators have added and that do not count, and why: for operators."""
    if community_of(call.person) is not None:
        return {}
    return {name: problem for (kind, name), problem in call.central.places.problems.items() if kind == QUEUE}


async def why(call: Call[None]) -> QueueExplanation:
    """Why the director of a queue sends pilots, or none."""
    queue = _named(call)
    view = await _queue(call, queue, await _paused(call))
    said = call.central.outlook(queue).decision
    return QueueExplanation(
        view,
        said.cause,
        said.looked or None,
        said.since or None,
        said.until,
        tuple(PilotsWait(count, words) for words, count in said.waits),
    )


async def sites(call: Call[None]) -> SitePage:
    """The sites and their queues, and which of them are banned."""
    banned = await _banned(call)
    return SitePage(tuple(_site(call, site, banned) for site in sites_for(call)))


def _site(call: _Call, name: str, banned: Mapping[str, PauseView]) -> SiteView:
    return SiteView(name, tuple(queue.name for queue in queues_for(call) if queue.site == name), banned.get(name))


async def _banned(call: _Call) -> dict[str, PauseView]:
    """The sites that are banned now."""
    return {one.site: _view(one) for one in await call.central.store.pauses() if one.site}


async def _paused(call: _Call) -> dict[str, PauseView]:
    """The queues that get no pilots now, by themselves or with their sites."""
    pauses = await call.central.store.pauses()
    return {
        queue.name: _view(pause)
        for queue in call.central.settings.queues
        for pause in reversed(pauses)
        if pause.stops(queue.name, queue.site)
    }


def _view(pause: Pause) -> PauseView:
    return PauseView(pause.who, pause.reason, pause.since, pause.until, pause.site)


async def _queue(call: _Call, queue: Queue, pauses: Mapping[str, PauseView]) -> QueueView:
    counts = await call.central.store.pilot_counts([queue.name])
    return _view_of(call, queue, pauses, counts.get(queue.name, {}))


def _view_of(call: _Call, queue: Queue, pauses: Mapping[str, PauseView], counts: Mapping[str, int]) -> QueueView:
    outlook = call.central.outlook(queue)
    paused = pauses.get(queue.name)
    return QueueView(
        queue.name,
        queue.site,
        queue.kind,
        queue.slots,
        dict(counts),
        outlook.demand,
        outlook.decision.why,
        paused,
        flavor=queue.cloud.flavor if queue.cloud else "",
    )


async def pause(call: Call[PauseQueueRequest]) -> QueueView:
    """Send no pilots to a queue, for a time or until it is resumed. Those that are there go on."""
    reason, seconds = _reason(call.message.reason), _seconds(call.message.seconds)
    queue = _led(call)
    before = (await _paused(call)).get(queue.name)
    who, admins = call.person.user, admins_beside(call)
    await call.central.store.pause_queue(queue.name, who, reason, seconds, admins=admins)
    await _stopped(call, queue)
    log.info(
        "A queue is paused",
        extra={"fields": {"queue": queue.name, "who": who, "reason": in_a_line(reason)}},
    )
    return replace(await _queue(call, queue, await _paused(call)), instead_of=before)


async def resume(call: Call[ResumeQueueRequest]) -> QueueView:
    """Send pilots to a queue again."""
    queue = _led(call)
    if not await call.central.store.resume_queue(queue.name, call.person.user, admins=admins_beside(call)):
        raise Refusal("conflict", f"the queue {queue.name} is not paused")
    call.central.decided(queue.name, f"resumed by {call.person.user}; its director has not looked since")
    log.info("A queue is resumed", extra={"fields": {"queue": queue.name, "who": call.person.user}})
    return await _queue(call, queue, await _paused(call))


async def ban(call: Call[BanSiteRequest]) -> SiteView:
    """Send no pilots to any queue of a site, for a time or until the ban is lifted. Those that are there go on."""
    reason, seconds = _reason(call.message.reason), _seconds(call.message.seconds)
    site, who = site_for(call, call.text("name")), call.person.user
    await call.central.store.ban_site(site, who, reason, seconds, admins=admins_beside(call))
    for queue in call.central.settings.queues:
        if queue.site == site and queue.kind != EXTERNAL:
            await _stopped(call, queue)
    log.info("A site is banned", extra={"fields": {"site": site, "who": who, "reason": in_a_line(reason)}})
    return _site(call, site, await _banned(call))


async def unban(call: Call[UnbanSiteRequest]) -> SiteView:
    """Send pilots to a site again."""
    site, who = site_for(call, call.text("name")), call.person.user
    if not await call.central.store.lift_ban(site, who, admins=admins_beside(call)):
        raise Refusal("conflict", f"the site {site} is not banned")
    for queue in call.central.settings.queues:
        if queue.site == site and queue.kind != EXTERNAL:
            call.central.decided(queue.name, f"its site was unbanned by {who}; its director has not looked since")
    log.info("A site is banned no more", extra={"fields": {"site": site, "who": who}})
    return _site(call, site, await _banned(call))


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidInput("reason", f"expected a reason of 1 to {MAX_REASON} characters, for whoever asks why")
    return reason


def _seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise InvalidInput("seconds", f"expected more than 0 and at most {MAX_SECONDS:,.0f} seconds, got {seconds:g}")
    return seconds


async def _stopped(call: _Order, queue: Queue) -> None:
    """Tell who stopped a queue, before its director has come round."""
    pauses = await call.central.store.pauses()
    said = next((str(pause) for pause in pauses if pause.stops(queue.name, queue.site)), "")
    if said:
        call.central.decided(queue.name, said)


def _led(call: _Order) -> Queue:
    """The queue in the path. Raises ``not-found``, and ``conflict`` for one that has no director."""
    queue = _named(call)
    if queue.kind == EXTERNAL:
        raise Refusal(
            "conflict", f"the queue {queue.name} is external: no director sends pilots there that could be paused"
        )
    return queue


def _named(call: _Call) -> Queue:
    """The queue in the path. Raises ``not-found``, which names only such as the caller may see."""
    name = call.text("name")
    if call.central.settings.queue(name) is None and (problem := _unused(call).get(name)):
        raise Refusal("not-found", f"the queue {name} was added and is not used: {problem}")
    return queue_for(call, name)


_READERS = (Who.MEMBER, Who.SITE_ADMIN)
_STOPPERS = (Who.OPERATOR, Who.SITE_ADMIN)
ROUTES = (
    Route("GET", "/v1/queues", queues, _READERS, "The configured queues", reply=QueuePage),
    Route(
        "GET",
        "/v1/queues/{name:name}/explain",
        why,
        _READERS,
        "Why its director sends pilots, or none",
        reply=QueueExplanation,
    ),
    Route(
        "POST",
        "/v1/queues/{name:name}/pause",
        pause,
        _STOPPERS,
        "Send no pilots to a queue",
        message=PauseQueueRequest,
        reply=QueueView,
        audit="queue.pause",
    ),
    Route(
        "POST",
        "/v1/queues/{name:name}/resume",
        resume,
        _STOPPERS,
        "Send pilots to a queue again",
        message=ResumeQueueRequest,
        reply=QueueView,
        audit="queue.resume",
    ),
    Route("GET", "/v1/sites", sites, _READERS, "The configured sites", reply=SitePage),
    Route(
        "POST",
        "/v1/sites/{name:name}/ban",
        ban,
        _STOPPERS,
        "Send no pilots to a site",
        message=BanSiteRequest,
        reply=SiteView,
        audit="site.ban",
    ),
    Route(
        "POST",
        "/v1/sites/{name:name}/unban",
        unban,
        _STOPPERS,
        "Send pilots to a site again",
        message=UnbanSiteRequest,
        reply=SiteView,
        audit="site.unban",
    ),
)
