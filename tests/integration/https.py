"""A small real HTTPS server on the loopback interface, and a CA made for the occasion."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """A CA and one certificate for 127.0.0.1, and more names."""

    ca_pem: str
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Server:
    """What it answers to GET by path (bytes, or a function that gives them; 404 otherwise), and what it was asked."""

    url: str
    files: dict[str, bytes | Callable[[], bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    encoding: str = ""  # that its answers are said to have

    def puts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "PUT"]


def make_authority(folder: Path, *names: str) -> Authority:
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        certificate("Test CA", "Test CA", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    address = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, names)]
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    leaf = (
        certificate("Test server", "Test CA", key)
        .add_extension(address, critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Authority(ca.public_bytes(pem).decode(), folder / "server.pem", folder / "server.key")


@contextmanager
def serving(authority: Authority) -> Iterator[Server]:
    """A server for as long as the block lasts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            self.request.settimeout(20)
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_GET(self) -> None:
            self.remember(b"")
            answer = server.files.get(self.path)
            self.answer(404 if answer is None else 200, answer() if callable(answer) else answer or b"")

        def do_PUT(self) -> None:
            self.remember(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(200, b"{}")

        def remember(self, body: bytes) -> None:
            server.requests.append(Request(self.command, self.path, dict(self.headers), body))

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if server.encoding:
                self.send_header("Content-Encoding", server.encoding)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, *_: object) -> None:
            pass  # clients that are killed, or refuse the certificate, are what tests are about

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        server = Server(f"https://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
