"""X.509 proxies and tokens as tests need them, signed with keys of the test's own."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from central.elements.arc.credentials import Credential
from central.elements.arc.delegation import sign


def credential(place: Path, name: str) -> Credential:
    """The certificate of a person, with its key."""
    pem = (place / f"{name}.pem").read_bytes() + (place / f"{name}-key.pem").read_bytes()
    return Credential(pem=pem, ends=x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp())


def proxy(place: Path, name: str, file: Path, seconds: float) -> Path:
    """Write a proxy that ends in so many seconds, which may be over already."""
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    now = time.time()
    signer = credential(place, name)
    signed = sign(
        request.public_bytes(serialization.Encoding.PEM),
        Credential(pem=signer.pem, ends=now + seconds),
        min(now, now + seconds) - 60,
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    first, end, rest = signed.partition(b"-----END CERTIFICATE-----\n")
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_bytes(first + end + secret + rest)
    return file


class Issuer:
    """Who signs tokens: as a context, a server that publishes the key which they are checked with."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.key = rsa.generate_private_key(65537, 2048)

    def __enter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.place / "host.pem", self.place / "host-key.pem")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Publisher, self))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def token(self, subject: str, seconds: float) -> str:
        now = int(time.time())
        header = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        claims = {"iss": self.url, "sub": subject, "iat": now, "nbf": now - 10, "exp": int(now + seconds)}
        claims |= {
            "aud": "https://wlcg.cern.ch/jwt/v1/any",
            "jti": str(now),
            "wlcg.ver": "1.0",
            "scope": "compute.create",
        }
        words = f"{_coded(json.dumps(header).encode())}.{_coded(json.dumps(claims).encode())}"
        return f"{words}.{_coded(self.key.sign(words.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def told(self, path: str) -> object:
        if path.endswith("/.well-known/openid-configuration"):  # ARC may name the host here as well
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwk"}
        numbers = self.key.public_key().public_numbers()
        words = {"n": numbers.n, "e": numbers.e}
        coded = {name: _coded(value.to_bytes((value.bit_length() + 7) // 8, "big")) for name, value in words.items()}
        return {"keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", **coded}]}


class _Publisher(BaseHTTPRequestHandler):
    def __init__(self, issuer: Issuer, *arguments: Any) -> None:
        self.issuer = issuer
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = json.dumps(self.issuer.told(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
