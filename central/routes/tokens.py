"""API tokens that people make while the central runs: for themselves, or for others whom they may let in."""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import Any

from central.configuration.settings import EVERY_ROLE, SITE_ADMIN
from central.people import NewToken, TokenRow, Whose, place_of
from central.records import Identity, Note
from central.routes.communities import visible_group
from central.routes.members import WhoseQuery
from central.serving.http import Call, Route
from central.store.decide import unknown_member, unknown_token
from central.trust.rules import TokenCaller, Who, at_most, least, may_give, may_speak_for, sees
from pilot.errors import InvalidInput, Refusal
from pilot.people import LEAST_LIFE, MOST_LIFE, SCOPES, MadeToken, TokenPage, TokenRequest, TokenView

log = logging.getLogger(__name__)
#: Tokens of one user that are good at the same time.
MOST = 100
MAX_NAME = 100
#: What every token begins with, so that one that has got lost is known for what it is.
PREFIX = "pilotage_"


async def make(call: Call[TokenRequest]) -> MadeToken:
    """Make a token. It is told this once, and kept nowhere but as its SHA-256."""
    request, person = call.message, call.person
    _check(request)
    whose = _meant(call)
    parent = None
    if isinstance(person, TokenCaller):
        _expect_narrower(person, request)
        parent = person.token if _is_own(person, whose) else None
    role = await _role(call, whose)
    token = PREFIX + secrets.token_urlsafe(32)
    new = NewToken(
        sha256=hashlib.sha256(token.encode()).hexdigest(),
        name=request.name,
        user=whose.user,
        community=whose.community,
        group=whose.group,
        role=role,
        scopes=tuple(scope for scope in SCOPES if scope in request.scopes),
        seconds=float(request.seconds),
        who=person.user,
        parent=parent,
        site=whose.site,
    )
    note = _note(person, whose, "token.create", f"{request.name} for {', '.join(new.scopes)}".strip())
    row = await call.central.store.open_token(new, MOST, note)
    await _taken_up(call, row, "An API token is made")
    return MadeToken(token, _view(call, row))


def _meant(call: Call[TokenRequest]) -> Identity:
    """For whom, and where. Raises ``not-found``, or `InvalidInput`."""
    request, person = call.message, call.person
    user, in_group = request.user or person.user, bool(request.community or request.group)
    if site := request.site or ("" if in_group else person.site):
        if in_group:
            raise InvalidInput("group", "expected neither community nor group with a site: its admins have none")
        return Identity(user, "", "", "", site)
    whose = Identity(user, request.community or person.community, request.group or person.group, "")
    visible_group(call, whose.community, whose.group)
    return whose


def _check(request: TokenRequest) -> None:
    """Raises `InvalidInput`."""
    if unknown := sorted(set(request.scopes) - set(SCOPES)):
        raise InvalidInput("scopes", f"expected some of {', '.join(SCOPES)}, got {unknown[0][:40]!r}")
    if not request.scopes:
        raise InvalidInput("scopes", f"expected at least one of {', '.join(SCOPES)}")
    if not LEAST_LIFE <= request.seconds <= MOST_LIFE:
        raise InvalidInput("seconds", f"expected {LEAST_LIFE} s to {MOST_LIFE // 86400} d, got {request.seconds} s")
    if len(request.name) > MAX_NAME or not request.name.isprintable():
        raise InvalidInput("name", f"expected at most {MAX_NAME} printable characters")
    if request.role and request.role not in EVERY_ROLE:
        raise InvalidInput("role", f"expected one of {', '.join(EVERY_ROLE)}, got {request.role[:40]!r}")


async def _role(call: Call[TokenRequest], whose: Identity) -> str:
    """The most that the token may do, which is neither above its owner's role there nor above the caller's own."""
    person, people = call.person, call.central.people
    most = people.role(whose.user, whose.community, whose.group, whose.site)
    seen = sees(person).covers(whose.community, whose.group, whose.user, whose.site)
    if most is None or not (_is_own(person, whose) or seen):
        raise unknown_member(whose.user[:100])
    if not _is_own(person, whose) and not may_speak_for(person, await _ever(call, whose)):
        raise Refusal(
            "forbidden",
            f"the user {whose.user} has, or has had, a role in {whose.community or 'sites'} that is not yours to give",
        )
    asked = call.message.role or least(most, person.role)
    if asked == SITE_ADMIN and not whose.site:
        raise Refusal("forbidden", f"a token for {SITE_ADMIN} is for one site, which has to be named")
    for limit, of in ((most, f"{whose.user}'s role there"), (person.role, "your own role")):
        if not at_most(asked, limit):
            raise Refusal("forbidden", f"a token cannot be for {asked}, which is above {of}, {limit}")
    return asked


async def _ever(call: Call[TokenRequest], whose: Identity) -> list[Identity]:
    """Every role that somebody has, or has had, in a community: what was owned under it is there still."""
    of_user = Whose(whose.community, None, whose.user)
    rows = await call.central.store.members(of_user)
    before = [Identity(row.user, row.community, row.group, row.role, row.site) for row in rows]
    return [*call.central.people.declared(of_user), *before]


def _expect_narrower(maker: TokenCaller, request: TokenRequest) -> None:
    """Raises ``forbidden`` unless the token that is asked for opens nothing that the caller's own does not."""
    own = {scope.value for scope in maker.scopes}
    if more := [scope for scope in request.scopes if scope not in own]:
        has = ", ".join(sorted(own))
        raise Refusal("forbidden", f"this token has {has}, and cannot make one that has {', '.join(more)} as well")
    if request.group not in ("", maker.group) and request.user in ("", maker.user):
        raise Refusal("forbidden", f"this token is for the group {maker.group}, and cannot make one for another")


def _is_own(person: Identity, whose: Identity | TokenRow) -> bool:
    return (person.user, person.community, person.site) == (whose.user, whose.community, whose.site)


async def page(call: Call[None]) -> TokenPage:
    """Tokens without the tokens: whose they are, for what, until when, and roughly when they were used last."""
    query = call.query(WhoseQuery)
    rows = await call.central.store.tokens(query.among(call.person))
    now = call.central.wall()
    shown = [row for row in rows if query.all or (row.revoked is None and row.expires > now)]
    return TokenPage(tuple(_view(call, row) for row in shown))


async def revoke(call: Call[None]) -> TokenView:
    """End a token, and those that were made with it. Jobs that it has submitted go on."""
    person, number = call.person, call.number("number")
    row = await call.central.store.token(number)
    if not _is_own(person, row):
        if not sees(person).covers(row.community, row.group, row.user, row.site):
            raise unknown_token(number)
        if not may_give(person, row.community, row.group, row.role):
            raise Refusal("forbidden", f"token {number} is for {row.role}, a role that is not yours to take back")
    whose = Identity(row.user, row.community, row.group, row.role, row.site)
    note = _note(person, whose, "token.revoke", f"token {number} {row.name}".strip())
    row = await call.central.store.revoke_token(number, person.user, note)
    await _taken_up(call, row, "An API token is revoked")
    return _view(call, row)


async def _taken_up(call: Call[Any], row: TokenRow, what: str) -> None:
    await call.central.look_at_people()
    fields = {"token": row.id, "user": row.user, "community": row.community, "group": row.group, "site": row.site}
    log.info(what, extra={"fields": {**fields, "role": row.role, "who": call.person.user}})


def _note(who: Identity, whom: Identity, what: str, detail: str) -> Note:
    return Note(who.user, what, whom.community, whom.user, place_of(whom), detail=detail)


def _view(call: Call[Any], row: TokenRow) -> TokenView:
    return TokenView(
        number=row.id,
        name=row.name,
        user=row.user,
        community=row.community,
        group=row.group,
        role=row.role,
        scopes=row.scopes,
        who=row.who,
        created=row.created,
        expires=row.expires,
        used=call.central.people.used(row.id) or row.used,
        revoked=row.revoked,
        revoked_by=row.revoked_by,
        parent=row.parent,
        problem=_problem(call, row),
        site=row.site,
    )


def _problem(call: Call[Any], row: TokenRow) -> str:
    """Why a token that was not revoked opens nothing, or less than it says."""
    role = call.central.people.role(row.user, row.community, row.group, row.site)
    if row.revoked is not None or row.expires <= call.central.wall():
        return ""
    if role is None:
        return f"{row.user} is no {'admin of ' + row.site if row.site else 'member of ' + row.group}"
    return "" if at_most(row.role, role) else f"{row.user} is {role} there now, and it does no more"


_OWNERS = (Who.MEMBER, Who.SITE_ADMIN)
ROUTES: tuple[Route[Any], ...] = (
    Route("GET", "/v1/tokens", page, _OWNERS, "List API tokens", reply=TokenPage, query=WhoseQuery),
    Route(
        "POST",
        "/v1/tokens",
        make,
        _OWNERS,
        "Make an API token",
        message=TokenRequest,
        reply=MadeToken,
        status=201,
    ),
    Route("DELETE", "/v1/tokens/{number:number}", revoke, _OWNERS, "Revoke an API token", reply=TokenView),
)
