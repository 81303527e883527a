"""Logging in with a browser on this machine: an authorization code with PKCE, which comes back on a loopback port.

The browser is sent to a port that was opened for this one login (RFC 8252); what comes with another state than the one
that was sent is not believed, and the nonce ties the ID token to it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

from pilot.errors import PilotageError
from pilotage.login_by_code import Tokens, tokens
from pilotage.provider import Provider, checked

#: Seconds for somebody to log in.
PATIENCE = 600.0
#: Seconds between looks at the clock.
_LOOK = 0.5
_DONE = b"<!doctype html><title>Pilotage</title><p>This is done here. Go back to the terminal.</p>"


@dataclass(frozen=True)
class Secrets:
    """Made anew for each login: 32 random bytes each, as text."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier before."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass
class _Answer:
    """What the browser brought back with the right state."""

    state: str
    found: dict[str, str] = field(default_factory=dict)

    def take(self, path: str) -> bool:
        """Whether a request is the one that is waited for."""
        parts = urlsplit(path)
        said = dict(parse_qsl(parts.query, max_num_fields=20))
        if parts.path != "/" or not hmac.compare_digest(said.get("state", "").encode(), self.state.encode()):
            return False
        if "code" in said or "error" in said:
            self.found = said
        return bool(self.found)


def log_in(provider: Provider, secrets: Secrets, show: Callable[[str], None], patience: float = PATIENCE) -> Tokens:
    """`show` opens a URL, or has somebody do so. Raises `PilotageError`."""
    offer = provider.offer
    if not offer.authorization_endpoint:
        raise PilotageError(f"{offer.issuer} does not say where people log in with a browser.")
    answer = _Answer(secrets.state)
    with TCPServer(("127.0.0.1", 0), _handler(answer)) as server:
        server.timeout = _LOOK
        redirect = f"http://127.0.0.1:{server.server_address[1]}/"
        show(_url(provider, secrets, redirect))
        end = time.monotonic() + patience
        while not answer.found and time.monotonic() < end:
            server.handle_request()
    if not answer.found:
        raise PilotageError(f"Nobody has logged in within {patience / 60:g} min.")
    if (issuer := answer.found.get("iss")) is not None and issuer != offer.issuer:  # RFC 9207
        raise PilotageError(f"Another provider has answered than {offer.issuer}: {issuer[:200]!r}.")
    if "code" not in answer.found:
        why = answer.found.get("error_description") or answer.found.get("error", "")
        raise PilotageError(f"The login was refused at the provider: {why[:300]}.")
    form = {
        "grant_type": "authorization_code",
        "code": answer.found["code"],
        "redirect_uri": redirect,
        "client_id": offer.client_id,
        "code_verifier": secrets.verifier,
    }
    return tokens(offer, provider.post(offer.token_endpoint, form))


def _url(provider: Provider, secrets: Secrets, redirect: str) -> str:
    offer = provider.offer
    query = {
        "response_type": "code",
        "client_id": offer.client_id,
        "redirect_uri": redirect,
        "scope": " ".join(offer.scopes),
        "state": secrets.state,
        "nonce": secrets.nonce,
        "code_challenge": secrets.challenge,
        "code_challenge_method": "S256",
    }
    endpoint = checked(offer.authorization_endpoint)
    return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"


def _handler(answer: _Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0  # seconds for a request to come in: whoever opens the port and says nothing is in nobody's way

        def do_GET(self) -> None:
            taken = answer.take(self.path)
            body = _DONE if taken else b""
            self.send_response(200 if taken else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Nothing: the code is in the path."""

    return Handler
