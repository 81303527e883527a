"""Asking a central how to log in, and exchanging what a provider said for a token of the central."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from pilot.login import CertificateLoginRequest, LoggedIn, LoggedOut, LoginOffer, LoginRequest
from pilotage.asking import Asking
from pilotage.connection import Connection
from pilotage.transport import SYSTEM_CLOCK, Request, Transport, open_session


class Entrance(Asking):
    """What a central answers before anybody is known, and when one leaves."""

    def offer(self) -> LoginOffer:
        """How to log in there. Raises ``not-found`` where nobody does, ``busy`` where the provider is away."""
        return self._get(LoginOffer, "/v1/login")

    def certificate_offer(self) -> LoginOffer:
        """Where one logs in there with a certificate, whatever the provider does. Raises ``not-found``."""
        return self._get(LoginOffer, "/v1/login", {"certificates": "true"})

    def enter(self, request: LoginRequest) -> LoggedIn:
        """Exchange an ID token, which is good once: it is sent again only where it was certainly not seen."""
        body = msgspec.json.encode(request)
        headers = {"Content-Type": "application/json"}
        return self._transport.ask(LoggedIn, Request("POST", "/v1/login", body=body, headers=headers, repeatable=False))

    def enter_with_certificate(self, request: CertificateLoginRequest) -> LoggedIn:
        """Get a token for the certificate that this connection shows."""
        body = msgspec.json.encode(request)
        headers = {"Content-Type": "application/json"}
        asked = Request("POST", "/v1/login/certificate", body=body, headers=headers, repeatable=False)
        return self._transport.ask(LoggedIn, asked)

    def leave(self) -> LoggedOut:
        """End the token that this is asked with."""
        return self._transport.ask(LoggedOut, Request("POST", "/v1/logout", repeatable=False))


@contextmanager
def entrance(connection: Connection, patience: float) -> Iterator[Entrance]:
    """The entrance of a central, for as long as the block lasts."""
    with open_session(connection) as session:
        yield Entrance(Transport(session, connection, patience, SYSTEM_CLOCK), SYSTEM_CLOCK)


@contextmanager
def certificate_entrance(connection: Connection, certificate: Path, key: Path) -> Iterator[Entrance]:
    """The entrance for those who show a certificate: a port of its own, which is asked once."""
    with open_session(replace(connection, token="")) as session:
        session.cert = (str(certificate), str(key))
        yield Entrance(Transport(session, connection, 0.0, SYSTEM_CLOCK), SYSTEM_CLOCK)
