"""Files over real HTTPS with an attempt's token: whole, in parts, garbled, refused, cut off."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pilot.attempts import staging
from pilot.attempts.staging import HttpSandboxes
from pilot.errors import Refusal, TransportError
from pilot.transport import Https
from tests.integration.https import Authority, make_authority
from tests.pilot_fakes import shell

LEASE = shell(1, "true")
CONTENT = bytes(range(256)) * 4096 * 3  # 3 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """A central's sandboxes, with the faults that the test asks for."""

    protocol_version = "HTTP/1.1"
    server: Sandboxes

    def do_GET(self) -> None:
        self.server.asked.append(("GET", self.path, self.headers["Authorization"]))
        content = self.server.files.get(self.path.rpartition("/")[2])
        if self.server.fault == "cut off":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
            self.close_connection = True
        elif self.server.fault == "busy":
            self.problem(503, "busy", retry_after=7)
        elif content is None:
            self.problem(404, "not-found")
        else:
            self.answer(200, content, "application/octet-stream")

    def do_HEAD(self) -> None:
        self.server.asked.append(("HEAD", self.path, self.headers["Authorization"]))
        name = self.path.rpartition("/")[2]
        self.send_response(200 if name in self.server.files else 404)
        self.send_header("Content-Length", "0")
        self.send_header("Pilotage-Next", str(len(self.server.arrived)))
        self.end_headers()

    def do_PUT(self) -> None:
        self.server.asked.append(("PUT", self.path, self.headers["Authorization"]))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived += b"" if self.server.fault == "forgetful" else body
        if self.server.fault == "stale":
            self.problem(409, "stale-attempt")
            return
        name = self.path.rpartition("/")[2].partition("?")[0]
        size = len(self.server.arrived)
        if hashlib.sha256(self.server.arrived).hexdigest() == name:
            self.server.files[name] = bytes(self.server.arrived)
        reply = {"stored": True, "sha256": name, "size": size, "next": size}
        self.answer(200, json.dumps(reply).encode(), "application/json")

    def problem(self, status: int, kind: str, **more: Any) -> None:
        body = json.dumps({"type": kind, "title": kind, "status": status, "detail": f"it is {kind}", **more}).encode()
        self.answer(status, body, "application/problem+json")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Sandboxes(ThreadingHTTPServer):
    def __init__(self, authority: Authority) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.arrived = bytearray()
        self.asked: list[tuple[str, str, str]] = []
        self.fault = ""

    def handle_error(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Authority) -> Iterator[Sandboxes]:
    server = Sandboxes(authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sandboxes(server: Sandboxes, authority: Authority, tmp_path: Path) -> Iterator[HttpSandboxes]:
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.ca_pem)
    transport = Https(ca)
    yield HttpSandboxes([server.url], transport)
    transport.close()


def test_a_file_is_fetched(server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path) -> None:
    """An input arrives whole under its name, asked for with the attempt's own token."""
    server.files[SHA256] = CONTENT
    sandboxes.fetch(LEASE, SHA256, len(CONTENT), tmp_path / "in")
    assert (tmp_path / "in").read_bytes() == CONTENT
    assert server.asked == [("GET", f"/v1/sandboxes/{SHA256}", "Job token-of-1-1")]


@pytest.mark.parametrize(("content", "size"), [(b"x" * 10, 10), (CONTENT, 5), (b"short", len(CONTENT))])
def test_bytes_that_do_not_fit_are_refused(
    server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path, content: bytes, size: int
) -> None:
    """What has another digest or size is refused, may be tried again, and leaves nothing behind."""
    server.files[SHA256] = content
    with pytest.raises(Refusal) as caught:
        sandboxes.fetch(LEASE, SHA256, size, tmp_path / "in")
    assert caught.value.type == "digest-mismatch"
    assert caught.value.transient
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]


@pytest.mark.parametrize("fault", ["cut off", ""])
def test_trouble_and_refusals_are_told_apart(
    server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path, fault: str
) -> None:
    """A broken connection is worth another try, a file that is not there is not."""
    server.fault = fault
    with pytest.raises(TransportError if fault else Refusal) as caught:
        sandboxes.fetch(LEASE, SHA256, len(CONTENT), tmp_path / "in")
    if isinstance(caught.value, Refusal):
        assert (caught.value.type, caught.value.transient) == ("not-found", False)


def test_a_busy_central_says_when(server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path) -> None:
    """A refusal carries the time after which to ask again."""
    server.fault = "busy"
    with pytest.raises(Refusal) as caught:
        sandboxes.fetch(LEASE, SHA256, 1, tmp_path / "in")
    assert (caught.value.type, caught.value.retry_after, caught.value.transient) == ("busy", 7, True)


@pytest.mark.parametrize("content", [b"", b"small", CONTENT])
def test_a_file_is_stored(server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path, content: bytes) -> None:
    """An output of any size arrives whole; a large one is asked for first."""
    (tmp_path / "out").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    sandboxes.store(LEASE, tmp_path / "out", sha256, len(content))
    assert server.files[sha256] == content
    assert [method for method, _, _ in server.asked] == (["HEAD", "PUT"] if len(content) > 10 else ["PUT"])


def test_what_is_there_is_not_sent(server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path) -> None:
    """A large file that the central has already costs one question."""
    server.files[SHA256] = CONTENT
    (tmp_path / "out").write_bytes(CONTENT)
    sandboxes.store(LEASE, tmp_path / "out", SHA256, len(CONTENT))
    assert [method for method, _, _ in server.asked] == ["HEAD"]


def test_a_file_that_lacks_nothing_but_its_end(server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path) -> None:
    """All bytes are there and the central ended before it made a file of them: it is asked to, and nothing is sent."""
    server.arrived += CONTENT
    (tmp_path / "out").write_bytes(CONTENT)
    sandboxes.store(LEASE, tmp_path / "out", SHA256, len(CONTENT))
    assert server.files[SHA256] == CONTENT
    assert [path.partition("?")[2] for method, path, _ in server.asked if method == "PUT"] == [
        f"offset={len(CONTENT)}&size={len(CONTENT)}"
    ]


def test_parts_that_lead_nowhere(
    server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A central that takes parts and does not get on is trouble, and not asked for ever."""
    monkeypatch.setattr(staging, "PART", 1_000_000)
    server.fault = "forgetful"
    (tmp_path / "out").write_bytes(CONTENT)
    with pytest.raises(TransportError, match="still wants byte 0 next"):
        sandboxes.store(LEASE, tmp_path / "out", SHA256, len(CONTENT))


@pytest.mark.parametrize("arrived", [0, 1_500_000])
def test_large_files_go_in_parts(
    server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrived: int
) -> None:
    """A file above the size of a part is sent in parts, from where an earlier try was broken off."""
    monkeypatch.setattr(staging, "PART", 1_000_000)
    server.arrived += CONTENT[:arrived]
    (tmp_path / "out").write_bytes(CONTENT)
    sandboxes.store(LEASE, tmp_path / "out", SHA256, len(CONTENT))
    assert server.files[SHA256] == CONTENT
    offsets = [path.partition("?")[2] for method, path, _ in server.asked if method == "PUT"]
    assert offsets == [f"offset={at}&size={len(CONTENT)}" for at in range(arrived, len(CONTENT), 1_000_000)]


def test_a_stale_attempt_is_refused_for_good(server: Sandboxes, sandboxes: HttpSandboxes, tmp_path: Path) -> None:
    """What the central does not want is not tried again."""
    server.fault = "stale"
    (tmp_path / "out").write_bytes(b"x")
    with pytest.raises(Refusal) as caught:
        sandboxes.store(LEASE, tmp_path / "out", hashlib.sha256(b"x").hexdigest(), 1)
    assert (caught.value.type, caught.value.transient) == ("stale-attempt", False)


def test_the_next_central_is_asked(server: Sandboxes, authority: Authority, tmp_path: Path) -> None:
    """When one central does not answer another is asked, and that one first from then on."""
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.ca_pem)
    transport = Https(ca)
    (tmp_path / "out").write_bytes(CONTENT)
    several = HttpSandboxes(["https://127.0.0.1:9", server.url], transport)
    several.store(LEASE, tmp_path / "out", SHA256, len(CONTENT))
    assert server.files[SHA256] == CONTENT
    assert several._preferred == 1
    transport.close()


def test_a_stranger_is_not_trusted(server: Sandboxes, tmp_path: Path) -> None:
    """A central whose certificate does not come from our CA gets no token and no file."""
    other = tmp_path / "other"
    other.mkdir()
    ca = tmp_path / "ca.pem"
    ca.write_text(make_authority(other).ca_pem)
    transport = Https(ca)
    with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        HttpSandboxes([server.url], transport).fetch(LEASE, SHA256, 1, tmp_path / "in")
    assert server.asked == []
    transport.close()
