"""Logging in with a certificate: the one thing to ask for at the port whose callers show one."""

from __future__ import annotations

from typing import Any

from central.people import CERTIFICATE_GIVER
from central.routes.entering import Given, Wanted, let_in
from central.serving.connection_table import chain_of
from central.serving.http import Call, Route
from central.trust.rules import Who
from pilot.errors import InvalidInput, Refusal
from pilot.login import CertificateLoginRequest, LoggedIn

#: Bytes of a request.
MAX_REQUEST = 8 * 1024


async def enter(call: Call[CertificateLoginRequest]) -> LoggedIn:
    """Get a token of this central for the certificate or proxy that the connection shows. At a port of its own."""
    central, request, logins = call.central, call.message, call.central.certificates
    if logins is None:
        raise Refusal("not-found", "nobody logs in with certificates here")
    # A browser that holds a certificate sends it to whoever makes it ask; of this kind it does so for nobody else.
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidInput("Content-Type", "expected application/json")
    settings, chain = central.settings, chain_of(call.request.scope)
    known = await call.while_connected(logins.known(chain, settings.communities, settings.sites, central.wall()))
    return await let_in(
        central,
        known.said,
        Wanted(request.community, request.group, request.site),
        Given(
            giver=CERTIFICATE_GIVER,
            by=f"the certificate of {known.subject} by {known.issuer}",
            scopes=logins.login.token_scopes,
            life=known.life,
            outdated=known.outdated,
        ),
    )


ROUTES: tuple[Route[Any], ...] = (
    Route(
        "POST",
        "/v1/login/certificate",
        enter,
        (Who.ANYBODY,),
        "Log in with a certificate, at the port for certificates",
        message=CertificateLoginRequest,
        reply=LoggedIn,
        status=201,
        bound=MAX_REQUEST,
    ),
)
