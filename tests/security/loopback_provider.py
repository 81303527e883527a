"""An identity provider that can be made to say anything: its keys and its tokens are the test's to choose."""

from __future__ import annotations

import json
import secrets
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwk, jws, jwt

CLIENT = "pilotage"
ACCESS = "access-token.of~ada"
EVERY = list(jws.JWSRegistry.algorithms)


class LoopbackProvider:
    """Serves a discovery document and keys over plain HTTP, and counts how often they are asked for."""

    def __init__(self) -> None:
        self.key: jwk.Key = jwk.RSAKey.generate_key(2048, {"kid": "first"})
        self.shown: list[dict[str, Any]] = [public(self.key)]
        self.document: dict[str, Any] = {}  # what it says otherwise
        self.asked: dict[str, int] = {}
        self.padding = ""
        self.userinfo: Any = None  # what it says of whoever shows it the access token
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, path: str) -> Any:
        if path == "/keys":
            return {"keys": self.shown, "padding": self.padding}
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer,
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                **self.document,
            }
        return None

    def _of(self, authorization: str) -> tuple[int, Any]:
        """What userinfo answers: a status alone, or what it says."""
        if authorization != f"Bearer {ACCESS}":
            return 401, {"error": "invalid_token"}
        return (self.userinfo, {}) if isinstance(self.userinfo, int) else (200, self.userinfo)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked[self.path] = provider.asked.get(self.path, 0) + 1
                answer = provider._answer(self.path)
                status = 404 if answer is None else 200
                if self.path == "/userinfo":
                    status, answer = provider._of(self.headers["Authorization"])
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Location", f"{provider.issuer}/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                """Nothing."""

        return Handler

    @contextmanager
    def serving(self) -> Iterator[LoopbackProvider]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @contextmanager
    def showing(self, *keys: dict[str, Any]) -> Iterator[None]:
        """More keys, for as long as the block lasts."""
        before, self.shown = self.shown, [*self.shown, *keys]
        try:
            yield
        finally:
            self.shown = before

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says; None leaves a claim out."""
        now = int(time.time())
        usual = {
            "jti": secrets.token_hex(8),
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "ada",
            "iat": now,
            "exp": now + 600,
            "groups": ["/muons"],
        }
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def token(self, *, key: jwk.Key | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A signed token; good unless something is changed."""
        return signed({"alg": "RS256", "kid": "first", **(header or {})}, self.claims(**changes), key or self.key)


def public(key: jwk.Key) -> dict[str, Any]:
    """A key as the provider shows it."""
    return dict(key.as_dict(private=False))


def signed(header: dict[str, Any], claims: dict[str, Any], key: jwk.Key) -> str:
    registry = jws.JWSRegistry(algorithms=EVERY, strict_check_header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of algorithms that nobody should use
        return jwt.encode({name: value for name, value in header.items() if value}, claims, key, registry=registry)
