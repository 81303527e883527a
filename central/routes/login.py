"""Logging in with the identity provider of the settings, and out again.

Whoever shows a good ID token for the first time gets a token of this central, and the membership that goes with it.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from central.configuration.login import Login
from central.configuration.settings import ROLES
from central.leaving import Leaver, let_go
from central.login import mapping
from central.login.mapping import GIVER
from central.people import MemberRow, NewMember, NewToken, Whose
from central.records import Identity, Note
from central.routes.tokens import MOST, PREFIX
from central.serving.http import Call, Route
from central.trust.rules import TokenCaller, Who
from pilot.errors import Refusal
from pilot.login import LoggedIn, LoggedOut, LoginOffer, LoginRequest
from pilot.people import SCOPES

if TYPE_CHECKING:
    from central.login.logins import Logins

log = logging.getLogger(__name__)
#: What a token is called that somebody got by logging in.
NAME = "login"
#: Bytes of a request: an ID token, with room for how JSON writes it; and of a form that is passed on.
MAX_REQUEST, MAX_FORM = 32 * 1024, 8 * 1024


def _logins(call: Call[Any]) -> Logins:
    if call.central.logins is None:
        raise Refusal("not-found", "nobody logs in here: this central takes API tokens alone, ask an admin for one")
    return call.central.logins


async def offer(call: Call[None]) -> LoginOffer:
    """How to log in: the provider, and what a client says to it."""
    return await _logins(call).offer()


async def enter(call: Call[LoginRequest]) -> LoggedIn:
    """Exchange an ID token, once, for a token of this central."""
    central, request, logins = call.central, call.message, _logins(call)
    claims = await logins.claims(request.id_token, request.nonce, central.wall())
    # Before anything comes of it, also of one that lets nobody in: an older word must not take back what a newer gave.
    if not await central.store.spend_id_token(logins.digest(request.id_token), logins.remembered):
        raise Refusal("replayed", "this ID token was exchanged before: log in again for another")
    said = mapping.read(logins.login, claims, central.settings.communities)
    rows = await central.store.members(Whose(user=said.user))
    for old in mapping.outdated(rows, said.places):
        await _taken_back(call, old)
    who = mapping.choose(said, request.community, request.group)
    if mapping.needs_membership(rows, who):
        note = Note(GIVER, "member.add", who.community, who.user, f"group {who.group}", detail=who.role)
        await central.store.keep_member(NewMember(who.user, who.community, who.group, who.role, GIVER), note)
    token = PREFIX + secrets.token_urlsafe(32)
    row = await central.store.open_token(
        _new_token(token, who, logins.login), MOST, _note(who, "login", f"by {logins.login.issuer}")
    )
    await central.look_at_people()
    fields = {"token": row.id, "user": who.user, "community": who.community, "group": who.group}
    log.info("Somebody has logged in", extra={"fields": {**fields, "role": who.role}})
    role = central.people.role(who.user, who.community, who.group) or who.role
    others = tuple(f"{one.group} of {one.community}" for one in said.places if one is not who)
    least = min(who.role, role, key=ROLES.index)
    return LoggedIn(token, row.id, who.user, who.community, who.group, least, row.expires, others)


def _new_token(token: str, who: Identity, login: Login) -> NewToken:
    return NewToken(
        sha256=hashlib.sha256(token.encode()).hexdigest(),
        name=NAME,
        user=who.user,
        community=who.community,
        group=who.group,
        role=who.role,
        scopes=tuple(scope for scope in SCOPES if scope in login.token_scopes),
        seconds=float(login.life),
        who=who.user,
    )


async def _taken_back(call: Call[LoginRequest], row: MemberRow) -> None:
    """End a membership that a login gave and that the provider does not speak for any more."""
    central, why = call.central, "the identity provider does not say so any more"
    note = Note(GIVER, "member.revoke", row.community, row.user, f"group {row.group}", detail=why)
    await central.store.revoke_member(row.id, GIVER, why, note)
    await central.look_at_people()
    if central.people.role(row.user, row.community, row.group) is None:
        by = Identity(GIVER, row.community, row.group, "operator")
        await let_go(central, Leaver(by, row.user, row.community, row.group, why), False)


async def leave(call: Call[None]) -> LoggedOut:
    """End the token of this very request, and those that were made with it."""
    person = call.person
    if not isinstance(person, TokenCaller):
        raise Refusal("conflict", "this token is declared by central.toml, and ends when it is taken out there")
    await call.central.store.revoke_token(person.token, person.user, _note(person, "logout", f"token {person.token}"))
    await call.central.look_at_people()
    return LoggedOut(person.token)


def _note(who: Identity, what: str, detail: str) -> Note:
    return Note(who.user, what, who.community, who.user, f"group {who.group}", detail=detail)


async def device(call: Call[bytes]) -> Response:
    """Begin a login with a code, where the central speaks to the provider for its clients."""
    return _answer(await _logins(call).device())


async def token(call: Call[bytes]) -> Response:
    """Ask the provider for the ID token, where the central speaks to it for its clients."""
    return _answer(await _logins(call).token(call.message))


def _answer(answer: tuple[int, bytes]) -> Response:
    status, body = answer
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")


ROUTES: tuple[Route[Any], ...] = (
    Route("GET", "/v1/login", offer, (Who.ANYBODY,), "How to log in", reply=LoginOffer),
    Route(
        "POST",
        "/v1/login",
        enter,
        (Who.ANYBODY,),
        "Log in",
        message=LoginRequest,
        reply=LoggedIn,
        status=201,
        bound=MAX_REQUEST,
    ),
    Route(
        "POST", "/v1/login/device", device, (Who.ANYBODY,), "Begin to log in with a code", message=bytes, bound=MAX_FORM
    ),
    Route("POST", "/v1/login/token", token, (Who.ANYBODY,), "Ask for an ID token", message=bytes, bound=MAX_FORM),
    Route("POST", "/v1/logout", leave, (Who.MEMBER,), "Log out", reply=LoggedOut),
)
