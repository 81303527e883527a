"""What people ask of use: how much was used by whom, how shares stand, and how full limits are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from central.configuration.unmet import LIMIT
from central.costs import costs
from central.matching import share_views
from central.records import COST_KEYS, USAGE_KEYS, WASTE_KEYS
from central.serving.http import Call, Route
from central.trust.rules import Who, community_of, site_of
from pilot.errors import InvalidInput, Refusal
from pilot.use import CostPage, LimitPage, LimitView, SharePage, UsagePage, WastePage

#: What is looked at when nobody says since when, in seconds.
DEFAULT_TIME = 7 * 86400
#: Spans that one question may ask for, and rows of one answer.
MAX_SPANS = 10_000
MAX_ROWS = 100_000


@dataclass(frozen=True)
class UsageQuery:
    """Which use: of attempts that ended in [since, until), seconds since the epoch, in spans of so many seconds."""

    by: tuple[str, ...] = ("community", "group")
    since: float | None = None
    until: float | None = None
    span: float | None = None
    community: str | None = None


@dataclass(frozen=True)
class WasteQuery:
    """Whose time: of pilots that ended in [since, until), seconds since the epoch; without an end also of live ones."""

    by: tuple[str, ...] = ("site",)
    since: float | None = None
    until: float | None = None
    community: str | None = None


@dataclass(frozen=True)
class CostQuery:
    """Whose cost: of the time in [since, until), seconds since the epoch; without an end until now."""

    by: tuple[str, ...] = ("site",)
    since: float | None = None
    until: float | None = None
    community: str | None = None


async def used(call: Call[None]) -> UsagePage:
    """What attempts that ended in a time used together. People see their own community, operators all."""
    query, store = call.query(UsageQuery), call.central.store
    until = await store.now() if query.until is None else query.until
    since = until - DEFAULT_TIME if query.since is None else query.since
    _check(query, since, until)
    by = tuple(dict.fromkeys(query.by))
    sums = await store.usage(_community(call, query.community), by=by, since=since, until=until, span=query.span)
    _check_rows(len(sums))
    return UsagePage(since, until, by, sums, query.span)


async def wasted(call: Call[None]) -> WastePage:
    """Where the time of pilots' cores went. People see what was of their own community, site admins what was at the
    site, operators all."""
    query, store = call.query(WasteQuery), call.central.store
    now = await store.now()
    until = now if query.until is None else query.until
    since = until - DEFAULT_TIME if query.since is None else query.since
    by = tuple(dict.fromkeys(query.by))
    _check_keys(by, WASTE_KEYS)
    _check_time(since, until)
    site = site_of(call.person)
    rows = await store.waste(_community(call, query.community), by=by, since=since, until=query.until, site=site)
    _check_rows(len(rows))
    return WastePage(since, query.until, by, rows)


async def cost(call: Call[None]) -> CostPage:
    """What machines cost. People see what was of their own community, site admins what was at the site, operators
    all."""
    query, store = call.query(CostQuery), call.central.store
    now = await store.now()
    until = now if query.until is None else query.until
    since = until - DEFAULT_TIME if query.since is None else query.since
    by = tuple(dict.fromkeys(query.by))
    _check_keys(by, COST_KEYS)
    _check_time(since, until)
    bought = await store.bought(since=since, until=until, limit=MAX_ROWS + 1)
    _check_rows(len(bought))
    community, site = _community(call, query.community), site_of(call.person)
    bought = bought if site is None else tuple(one for one in bought if one.site == site)
    rows = await asyncio.to_thread(costs, bought, by, since, until, now, community)  # a second where there are many
    _check_rows(len(rows))
    everything = community is None and site is None
    unpriced = await store.unpriced(since=since, until=until) if everything else 0
    return CostPage(since, until, by, rows, unpriced)


async def shares(call: Call[None]) -> SharePage:
    """How the shares stand: what each community, group and owner is due, has used, and runs now."""
    settings = call.central.settings
    half_life = settings.shares.half_life
    views = share_views.standing(settings.communities, await call.central.store.consumed(half_life))
    community = community_of(call.person)
    return SharePage(half_life, tuple(view for view in views if community in (None, view.community)))


async def limits(call: Call[None]) -> LimitPage:
    """The limits on what runs at the same time, and how full they are."""
    community, unmet = community_of(call.person), call.central.places.unmet
    return LimitPage(
        tuple(
            LimitView(
                **asdict(use.limit),
                attempts_now=use.attempts,
                cores_now=use.cores,
                problem=unmet.get((LIMIT, use.limit.name), ""),
            )
            for use in await call.central.store.limits()
            if community is None or use.limit.community in (None, community)
        )
    )


def _community(call: Call[None], asked: str | None) -> str | None:
    """The community that is looked at: an operator may name one. Site admins look at all, at their site."""
    own = community_of(call.person)
    if asked is None and site_of(call.person) is not None:
        return None
    if asked is None:
        return own
    known = {community.name for community in call.central.settings.communities}
    if own not in (None, asked) or (own is None and asked not in known):
        raise Refusal("not-found", f"there is no community {asked[:100]} that you may see")
    return asked


def _check(query: UsageQuery, since: float, until: float) -> None:
    """Raises ``invalid`` that says where."""
    _check_keys(query.by, USAGE_KEYS)
    _check_time(since, until)
    if query.span is not None and not (query.span >= 1 and (until - since) / query.span <= MAX_SPANS):
        raise InvalidInput("span", f"expected 1 s or more and at most {MAX_SPANS:,} spans, got {query.span:g} s")


def _check_rows(rows: int) -> None:
    """Raises ``too-large``."""
    if rows > MAX_ROWS:
        raise Refusal(
            "too-large",
            f"the answer has more than {MAX_ROWS:,} rows: ask for a shorter time, longer spans or fewer keys",
            expected=str(MAX_ROWS),
            got=str(rows),
        )


def _check_keys(by: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [key for key in by if key not in known]:
        raise InvalidInput("by", f"expected some of {', '.join(known)}, got {unknown[0][:100]!r}")


def _check_time(since: float, until: float) -> None:
    if not (math.isfinite(since) and math.isfinite(until) and 0 <= since < until):
        raise InvalidInput("since", f"expected a time before `until`, got {since:.0f} and {until:.0f}")


_AT_SITES_TOO = (Who.MEMBER, Who.SITE_ADMIN)
ROUTES = (
    Route("GET", "/v1/usage", used, (Who.MEMBER,), "What was used", reply=UsagePage, query=UsageQuery),
    Route(
        "GET",
        "/v1/waste",
        wasted,
        _AT_SITES_TOO,
        "Where the time of pilots' cores went",
        reply=WastePage,
        query=WasteQuery,
    ),
    Route("GET", "/v1/cost", cost, _AT_SITES_TOO, "What machines cost", reply=CostPage, query=CostQuery),
    Route("GET", "/v1/shares", shares, (Who.MEMBER,), "How the shares stand", reply=SharePage),
    Route("GET", "/v1/limits", limits, (Who.MEMBER,), "How full the limits are", reply=LimitPage),
)
