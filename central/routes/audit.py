"""What people ask of the audit: who did what, and the chain by which it can be seen that nothing was changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from central.auditing import AuditQuery
from central.serving.http import Call, Route
from central.trust.chain import STEP, Seals
from central.trust.rules import Who, community_of
from pilot.audit import AuditChain, AuditPage, LinkedLines
from pilot.errors import InvalidInput, Refusal

MAX_PAGE = 1000


@dataclass(frozen=True)
class LinesQuery:
    """Which lines; all that fit every field given. `what`: also the first word alone, ``queue`` for ``queue.pause``;
    `community`: for operators, who else see all; `before`: lines with lower ids, as `next` of the page before says."""

    since: float | None = None
    until: float | None = None
    who: str | None = None
    what: str | None = None
    community: str | None = None
    owner: str | None = None
    subject: str | None = None
    job: int | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True)
class ChainQuery:
    """Links with higher numbers than this."""

    after: int = 0
    limit: int = STEP


async def page(call: Call[None]) -> AuditPage:
    """Lines, the newest first. A community-admin sees those of the own community."""
    query = call.query(LinesQuery)
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidInput("limit", f"expected 1 to {MAX_PAGE}, got {query.limit}")
    for name, moment in (("since", query.since), ("until", query.until)):
        if moment is not None and not math.isfinite(moment):
            raise InvalidInput(name, f"expected seconds since the epoch, got {moment}")
    for name, number in (("before", query.before), ("job", query.job)):
        if number is not None and not 0 <= number < 2**63:
            raise InvalidInput(name, f"expected a whole number, got {number}")
    own = community_of(call.person)
    if own is not None and query.community not in (None, own):
        raise Refusal("not-found", f"there is no community {query.community!r:.100} that you may see")
    wanted = AuditQuery(
        own if own is not None else query.community,
        query.since,
        query.until,
        query.who,
        query.what,
        query.owner,
        query.subject,
        query.job,
        query.before,
    )
    lines = await call.central.store.audit(wanted, query.limit + 1)
    shown = lines[: query.limit]
    return AuditPage(shown, shown[-1].id if len(lines) > query.limit else None)


async def chain(call: Call[None]) -> AuditChain:
    """Links of the chain in order, each with the lines that it covers."""
    query = call.query(ChainQuery)
    if not 1 <= query.limit <= STEP:
        raise InvalidInput("limit", f"expected 1 to {STEP}, got {query.limit}")
    if not 0 <= query.after < 2**63:
        raise InvalidInput("after", f"expected the number of a link, got {query.after}")
    seals = Seals.of(call.central.ring)
    part = await call.central.store.chain(query.after, query.limit)
    links = tuple(LinkedLines(one.link, seals.of_link(one.link), one.lines) for one in part.links)
    return AuditChain(part.start, seals.of_start(part.start), links, part.unlinked, part.more)


ROUTES = (
    Route("GET", "/v1/audit", page, (Who.COMMUNITY_ADMIN,), "Who did what", reply=AuditPage, query=LinesQuery),
    Route("GET", "/v1/audit/chain", chain, (Who.OPERATOR,), "The audit's chain", reply=AuditChain, query=ChainQuery),
)
