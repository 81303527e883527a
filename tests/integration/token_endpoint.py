"""A token endpoint on the loopback interface, over TLS, whose refresh tokens are good once (RFC 6749, section 6)."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from tests.integration.https import Authority

FIRST = "refresh-token-number-0"


@dataclass
class TokenEndpoint:
    """What it was asked, and what it gave."""

    url: str = ""
    life: int = 3600  # seconds of an access token
    refusal: str = ""  # the error that it answers with; empty: none
    away: int | None = None  # the status that it answers with instead of anything; 0: it hangs up
    retry_after: str = ""  # and the header
    good: str = FIRST  # the refresh token that it takes next
    forms: list[Mapping[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)  # access tokens

    def answer(self, form: Mapping[str, str], authorization: str) -> tuple[int, Mapping[str, object]]:
        self.forms.append(form)
        self.authorizations.append(authorization)
        if self.away is not None:
            return self.away, {}
        if self.refusal:
            return 400, {"error": self.refusal}
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.good:
            return 400, {"error": "invalid_grant"}
        number = len(self.given) + 1
        self.good = f"refresh-token-number-{number}"
        self.given.append(f"access-token-number-{number}")
        answer = {"access_token": self.given[-1], "token_type": "Bearer", "expires_in": self.life}
        return 200, {**answer, "refresh_token": self.good}


@contextmanager
def refreshing(authority: Authority) -> Iterator[TokenEndpoint]:
    """An endpoint for as long as the block lasts."""
    endpoint, lock = TokenEndpoint(), threading.Lock()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            with lock:
                form = {name: values[0] for name, values in sent.items()}
                status, said = endpoint.answer(form, self.headers.get("Authorization", ""))
            if not status:
                self.close_connection = True
                return
            body = json.dumps(said).encode()
            self.send_response(status)
            if endpoint.retry_after:
                self.send_header("Retry-After", endpoint.retry_after)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        endpoint.url = f"https://127.0.0.1:{server.server_port}/oauth2/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
