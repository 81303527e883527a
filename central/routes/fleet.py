"""What people ask of pilots, and the orders that operators and site admins give."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from central import aftermath
from central.configuration.settings import Queue
from central.explanations import explaining
from central.records import Identity, LiveAttempt, PilotRow
from central.serving.audited import About
from central.serving.http import Call, Route
from central.serving.journal import in_a_line
from central.store.decide import unknown_pilot
from central.store.loads import is_number
from central.trust.noting import of_communities
from central.trust.rules import Who, community_of, may_order, may_read_stream, may_see_place, site_of
from pilot.codes import of_pilot
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import Fact
from pilot.states import ENROLLED, LIVE_PILOT, OrderVerb, PilotReason, PilotState
from pilot.views import (
    ANOTHER,
    AttemptView,
    MachineView,
    OrderReply,
    OrderRequest,
    PilotDetail,
    PilotExplanation,
    PilotPage,
    PilotView,
)

log = logging.getLogger(__name__)

MAX_PAGE = 1000
#: Characters of what a machine is called; clouds' names have up to 255.
MAX_NAME = 300
#: Orders that a person may give to a pilot; a payload is killed by way of its job.
_GIVEN = frozenset({OrderVerb.DRAIN, OrderVerb.HALT, OrderVerb.FLUSH, OrderVerb.SET})
#: Those that end a pilot; their argument says within how many seconds.
_ENDING = frozenset({OrderVerb.DRAIN, OrderVerb.HALT})
_SECONDS = re.compile(r"[0-9]{1,8}")  # as many as a duration has at most


@dataclass(frozen=True)
class PilotsQuery:
    """Which pilots; `name` alone: those that their computing element or machine calls so, or whose stamp begins so."""

    states: tuple[PilotState, ...] = ()
    queue: str | None = None
    cursor: str | None = None
    limit: int = 100
    name: str | None = None


async def page(call: Call[None]) -> PilotPage:
    """A page of pilots, newest first."""
    query = call.query(PilotsQuery)
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidInput("limit", f"expected 1 to {MAX_PAGE}, got {query.limit}")
    site = site_of(call.person)
    community = community_of(call.person) if site is None else None
    if query.name is not None:
        return await _called(call, query, community, site)
    rows, cursor = await call.central.store.pilots(
        community,
        states=query.states,
        queue=query.queue,
        site=site,
        cursor=query.cursor,
        limit=query.limit,
    )
    return PilotPage(tuple([await _view(call, row) for row in rows]), cursor)


async def _called(call: Call[None], query: PilotsQuery, community: str | None, site: str | None) -> PilotPage:
    """Pilots by name: those that live first, then the newest; whoever has more than a page of them says more."""
    name = query.name or ""
    if not name.isprintable() or not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput("name", f"expected 1 to {MAX_NAME} printable characters")
    if query.states or query.queue or query.cursor:
        raise InvalidInput("name", "expected it alone, without states, queue and cursor")
    rows = await call.central.store.called_pilots(name, community, site=site, limit=query.limit)
    return PilotPage(tuple([await _view(call, row) for row in rows]), None)


async def one(call: Call[None]) -> PilotDetail:
    """One pilot: its steps, what it found out, what it holds, its logs."""
    central = call.central
    row = await _visible(call)
    held = await central.store.held(row.stamp)
    return PilotDetail(
        await _view(call, row, held),
        await central.store.steps(row.stamp),
        {fact.name: _shown(fact) for fact in row.facts},
        tuple([view for live in held for view in await _attempt(call, row, live)]),
        await _streams(call, row.stamp),
        await central.store.machine_loads(row.stamp),
    )


async def why(call: Call[None]) -> PilotExplanation:
    """Why a pilot got nothing. What waits for one that serves others alone is theirs to know."""
    row = await _visible(call)
    if row.state in LIVE_PILOT and _bound(call.person, row) == ANOTHER:
        return PilotExplanation(row.stamp, row.state, "It serves another community alone")
    return await explaining.pilot(call.central, row)


async def order(call: Call[OrderRequest]) -> OrderReply:
    """Give an order to a pilot. Draining begins at once, whenever the pilot hears of it; one that was not sent yet is
    withdrawn."""
    central, request, person = call.central, call.message, call.person
    row = await _visible(call)
    if request.verb not in _GIVEN:
        known = ", ".join(sorted(verb.value for verb in _GIVEN))
        raise InvalidInput("verb", f"expected one of {known}, got {request.verb.value}")
    if not may_order(person, request.verb):
        raise Refusal("forbidden", f"a {person.role} drains and halts pilots; {request.verb.value} is for operators")
    if request.verb in _ENDING and request.argument and not _SECONDS.fullmatch(request.argument):
        raise InvalidInput("argument", f"expected seconds until it must be over, got {request.argument[:80]!r}")
    number = await central.orders.give(
        row.stamp, request.verb, who=person.user, argument=request.argument, reason=request.reason
    )
    told = {"pilot": row.stamp, "verb": request.verb.value, "who": person.user, "order": number}
    words = " ".join(filter(None, (request.verb.value, request.argument)))
    detail = f"{words}: {request.reason}" if request.reason else words
    call.about = About(detail=detail, community=of_communities(row.communities))
    log.info("A pilot is given an order", extra={"fields": {**told, "reason": in_a_line(request.reason)}})
    if request.verb in _ENDING and row.state is PilotState.PLANNED:
        await _withdrawn(call, row)
    elif request.verb in _ENDING:
        await aftermath.drained(central, row, request.reason)
    return OrderReply(number)


async def _withdrawn(call: Call[OrderRequest], row: PilotRow) -> None:
    """Nobody sends it any more. Should its director be doing that this moment, it is cancelled when it turns up."""
    request, reason = call.message, in_a_line(call.message.reason)
    why = f"{request.verb.value} ordered by {call.person.user} before it was sent{f': {reason}' if reason else ''}"
    await call.central.store.end_pilot(row.stamp, PilotState.CANCELLED, PilotReason.CANCELLED, why)
    aftermath.gone(call.central, row, PilotState.CANCELLED, PilotReason.CANCELLED)


async def _visible(call: Call[None] | Call[OrderRequest]) -> PilotRow:
    """The pilot in the path. Raises ``not-found`` when the caller may not see it."""
    stamp = call.text("stamp")
    row = await call.central.roster.row(stamp, fresh=True)
    if not may_see_place(call.person, row.site, row.communities):
        raise unknown_pilot(stamp)
    return row


async def _view(call: Call[None], row: PilotRow, held: tuple[LiveAttempt, ...] | None = None) -> PilotView:
    if held is None:
        held = await call.central.store.held(row.stamp) if row.state in ENROLLED else ()
    age = call.central.presence.age(row.stamp)
    seen = row.last_seen if age is None else max(row.last_seen or 0.0, call.central.wall() - age)
    facts = {fact.name: fact for fact in row.facts}
    code = of_pilot(row.reason, row.message)
    return PilotView(
        stamp=row.stamp,
        state=row.state,
        site=row.site,
        queue=row.queue,
        communities=row.communities,
        created=row.created,
        enrolled=row.enrolled,
        last_seen=seen,
        ended=row.ended,
        reason=row.reason,
        message=row.message,
        exit_code=row.exit_code,
        reference=row.reference,
        epoch=row.epoch,
        host=_text(facts.get("host") or facts.get("hostname")),
        cores=_number(facts.get("cores")),
        running=len(held),
        alarm=row.alarm,
        code=code.value if code else "",
        machine=machine(call.central.settings.queue(row.queue), facts),
        bound=_bound(call.person, row),
    )


def _bound(person: Identity, row: PilotRow) -> str:
    """Whom the pilot serves alone, where that is for this person to know: of a site its admin knows who works there."""
    known = site_of(person) is not None or community_of(person) in (None, row.bound)
    return row.bound if known or not row.bound else ANOTHER


def machine(queue: Queue | None, facts: Mapping[str, Fact]) -> MachineView | None:
    """The virtual machine that a pilot of this queue is on (None: the queue is gone), by its facts; None: it is on
    none that we know of."""
    cloud = queue.cloud if queue else None
    if cloud is None and "uptime" not in facts:
        return None
    load, free, uptime = (facts.get(name) for name in ("load_1", "disk_free", "uptime"))
    return MachineView(
        flavor=_text(facts.get("instance_type")) or (cloud.flavor if cloud else ""),
        cloud=_text(facts.get("cloud")),
        instance=_text(facts.get("instance")),
        zone=_text(facts.get("zone")) or _text(facts.get("region")),
        load=load.value if load and is_number(load.value) else None,
        disk_free=_number(free) if free else None,
        uptime=_number(uptime) if uptime else None,
    )


def _text(fact: Fact | None) -> str:
    return str(fact.value) if fact and fact.value is not None else ""


def _number(fact: Fact | None) -> int:
    return fact.value if fact and isinstance(fact.value, int) else 0


def _shown(fact: Fact) -> str:
    return f"{'unknown' if fact.value is None else fact.value} ({fact.source})"


async def _attempt(call: Call[None], row: PilotRow, live: LiveAttempt) -> list[AttemptView]:
    """The attempt as the caller may see it: those of other communities stay hidden, and site admins learn no more than
    that it is there."""
    if site_of(call.person) is not None:
        return [AttemptView(live.job, live.attempt, live.stamp, row.site, live.phase, live.cores, 0.0)]
    community = community_of(call.person)
    if community not in (None, live.community):
        return []
    views = await call.central.store.attempts(community, live.job)
    return [view for view in views if view.attempt == live.attempt]


async def _streams(call: Call[None], stamp: str) -> dict[str, int]:
    streams = await call.central.logs.streams(stamp)
    return {name: size for name, size in streams.items() if may_read_stream(call.person, name)}


_STAMP = "/v1/pilots/{stamp:stamp}"
_READERS = (Who.MEMBER, Who.SITE_ADMIN)
ROUTES = (
    Route("GET", "/v1/pilots", page, _READERS, "List pilots", reply=PilotPage, query=PilotsQuery),
    Route("GET", _STAMP, one, _READERS, "One pilot", reply=PilotDetail),
    Route("GET", f"{_STAMP}/explain", why, (Who.MEMBER,), "Why it got nothing", reply=PilotExplanation),
    Route(
        "POST",
        f"{_STAMP}/orders",
        order,
        (Who.OPERATOR, Who.SITE_ADMIN),
        "Give an order: drain, halt, flush, set",
        message=OrderRequest,
        reply=OrderReply,
        status=201,
        audit="pilot.order",
    ),
)
