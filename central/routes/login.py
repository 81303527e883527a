"""Logging in with the identity provider of the settings, and out again.

Whoever shows a good ID token for the first time gets a token of this central, and the membership that goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from central.login import mapping
from central.people import GIVER
from central.routes.entering import Given, Wanted, let_in, note_of
from central.serving.http import Call, Route
from central.trust.rules import TokenCaller, Who
from pilot.errors import Refusal
from pilot.login import LoggedIn, LoggedOut, LoginOffer, LoginRequest

if TYPE_CHECKING:
    from central.login.logins import Logins

#: Bytes of a request: an ID token, and an access token, with room for how JSON writes it; of a form that is passed on.
MAX_REQUEST, MAX_FORM = 32 * 1024, 8 * 1024


@dataclass(frozen=True)
class OfferQuery:
    """Whether what is asked for is where one logs in with a certificate, and that alone: no provider is asked then."""

    certificates: bool = False


def _logins(call: Call[Any]) -> Logins:
    if call.central.logins is None:
        raise Refusal("not-found", "nobody logs in here: this central takes API tokens alone, ask an admin for one")
    return call.central.logins


async def offer(call: Call[None]) -> LoginOffer:
    """How to log in: the provider, and what a client says to it; where one does so with a certificate."""
    alone = call.query(OfferQuery).certificates
    certificates = call.central.certificates.url if call.central.certificates else ""
    if alone and not certificates:
        raise Refusal("not-found", "nobody logs in with certificates here")
    if certificates and (alone or call.central.logins is None):
        return LoginOffer("", "", (), "", certificates=certificates)
    return replace(await _logins(call).offer(), certificates=certificates)


async def enter(call: Call[LoginRequest]) -> LoggedIn:
    """Exchange an ID token, once, for a token of this central."""
    central, request, logins = call.central, call.message, _logins(call)
    claims = await logins.claims(request.id_token, request.nonce, central.wall(), request.access_token)
    # Before anything comes of it, also of one that lets nobody in: an older word must not take back what a newer gave.
    if not await central.store.spend_id_token(logins.digest(request.id_token), logins.remembered):
        raise Refusal("replayed", "this ID token was exchanged before: log in again for another")
    said = mapping.read(logins.login, claims, central.settings.communities, central.settings.sites)
    return await let_in(
        central,
        said,
        Wanted(request.community, request.group, request.site),
        Given(
            giver=GIVER,
            by=logins.login.issuer,
            scopes=logins.login.token_scopes,
            life=float(logins.login.life),
            outdated=lambda rows: mapping.outdated(rows, said.places),
        ),
    )


async def leave(call: Call[None]) -> LoggedOut:
    """End the token of this very request, and those that were made with it."""
    person = call.person
    if not isinstance(person, TokenCaller):
        raise Refusal("conflict", "this token is declared by central.toml, and ends when it is taken out there")
    await call.central.store.revoke_token(person.token, person.user, note_of(person, "logout", f"token {person.token}"))
    await call.central.look_at_people()
    return LoggedOut(person.token)


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
    Route("GET", "/v1/login", offer, (Who.ANYBODY,), "How to log in", reply=LoginOffer, query=OfferQuery),
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
    Route("POST", "/v1/logout", leave, (Who.MEMBER, Who.SITE_ADMIN), "Log out", reply=LoggedOut),
)
