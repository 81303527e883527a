"""A storage on the loopback interface that speaks HTTP and WebDAV over TLS, with the faults of a bad day."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.integration.https import Authority

BLOCK = 64 * 1024


@dataclass
class Stored:
    """A file; of a large one only its size and digests."""

    size: int
    adler32: str
    sha256: str
    content: bytes = b""


@dataclass
class FaultyStorage:
    """What it holds, what it was asked, and what is wrong with it."""

    url: str = ""  # https://127.0.0.1:PORT
    files: dict[str, Stored] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/"})
    asked: list[tuple[str, str]] = field(default_factory=list)  # method, path
    targets: list[str] = field(default_factory=list)  # path and query of each request, as they came
    credentials: list[str] = field(default_factory=list)  # Authorization of each request
    connections: int = 0
    received: int = 0  # bytes of bodies
    keep: int = 64 * 1024 * 1024  # bytes of a file that are kept; of a larger one none
    # -- faults --
    drop_at: int = -1  # bytes of a body after which the connection is closed
    drops: int = 1 << 30  # how often
    status: int = 0  # answered to every PUT, once its body was asked for
    early: bool = False  # before its body
    truncate: int = 0  # bytes that are left out at the end, silently
    lie: bool = False  # about checksums
    mute: bool = False  # no HEAD
    hang: threading.Event | None = None  # waits for it in every PUT
    valid: str = ""  # the Authorization that is asked for
    valid_for: int = 1 << 30  # requests; then it has expired
    redirect: str = ""  # where every PUT, GET and HEAD is sent on to
    strict: bool = False  # a folder must be made before a file is put into it
    no_move: bool = False
    digests: bool = True

    def put(self, path: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self.files[path] = Stored(len(content), f"{zlib.adler32(content):08x}", digest, content)

    def content(self, path: str) -> bytes:
        return self.files[path].content

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]


def _tag(stored: Stored) -> str:
    """Its ETag."""
    return f'"{stored.sha256}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def storage(self) -> FaultyStorage:
        return self.server.storage

    def setup(self) -> None:
        self.request.settimeout(30)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        with self.server.lock:
            self.storage.connections += 1
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def handle_expect_100(self) -> bool:
        return True  # said when the body is read

    def _begin(self) -> str:
        """The path, or nothing where the request has been answered."""
        path = unquote(urlsplit(self.path).path)
        storage = self.storage
        with self.server.lock:
            storage.asked.append((self.command, path))
            storage.targets.append(self.path)
            storage.credentials.append(self.headers.get("Authorization", ""))
            storage.valid_for -= 1
            expired = storage.valid_for < 0
        if storage.valid and (expired or self.headers.get("Authorization") != storage.valid):
            self._answer(401)
            return ""
        if storage.redirect and self.command in ("PUT", "GET", "HEAD"):
            self._answer(307 if self.command == "PUT" else 302, {"Location": storage.redirect + self.path})
            return ""
        return path

    def do_PUT(self) -> None:
        storage, path = self.storage, self._begin()
        if not path:
            return
        if storage.early:
            self._answer(storage.status)
            return
        if storage.strict and path.rpartition("/")[0] + "/" not in storage.folders:
            self._answer(409)
            return
        stored = self._receive()
        if stored is None:
            return
        if storage.hang is not None:
            storage.hang.wait(60)
        if storage.status:
            self._answer(storage.status)
            return
        with self.server.lock:
            known = path in storage.files
            storage.files[path] = stored
        self._answer(204 if known else 201, {"ETag": _tag(stored)})

    def _receive(self) -> Stored | None:
        storage = self.storage
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        size = left = int(self.headers["Content-Length"])
        adler, sha, content = 1, hashlib.sha256(), bytearray()
        taken = size - storage.truncate
        while left:
            block = self.rfile.read(min(BLOCK, left))
            if not block:
                self.close_connection = True
                return None
            left -= len(block)
            with self.server.lock:
                storage.received += len(block)
            if 0 <= storage.drop_at <= size - left and storage.drops > 0:
                storage.drops -= 1
                self.close_connection = True
                return None
            kept = block[: max(0, taken)]
            taken -= len(kept)
            adler = zlib.adler32(kept, adler)
            sha.update(kept)
            if size <= storage.keep:
                content += kept
        return Stored(max(0, size - storage.truncate), f"{adler:08x}", sha.hexdigest(), bytes(content))

    def do_HEAD(self) -> None:
        storage, path = self.storage, self._begin()
        if not path:
            return
        if storage.mute:
            self._answer(405)
            return
        found = storage.files.get(path)
        if found is None:
            self._answer(404)
            return
        headers = {"Content-Length": str(found.size)}
        if storage.digests and "adler32" in self.headers.get("Want-Digest", ""):
            headers["Digest"] = f"adler32={'0' * 7 + '1' if storage.lie else found.adler32}"
        elif storage.digests and "Want-Repr-Digest" in self.headers:
            headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(found.sha256)).decode()}:"
        self._answer(200, headers)

    def do_GET(self) -> None:
        storage, path = self.storage, self._begin()
        if not path:
            return
        found = storage.files.get(path)
        if found is None:
            self._answer(404)
            return
        content = found.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if 0 <= storage.drop_at < len(content) and storage.drops > 0:
            storage.drops -= 1
            self.wfile.write(content[: storage.drop_at])
            self.close_connection = True
            return
        self.wfile.write(content)

    def do_DELETE(self) -> None:
        path = self._begin()
        if not path:
            return
        found, wanted = self.storage.files.get(path), self.headers.get("If-Match")
        if found is not None and wanted not in (None, _tag(found)):
            self._answer(412)
            return
        self._answer(204 if self.storage.files.pop(path, None) else 404)

    def do_MKCOL(self) -> None:
        path = self._begin()
        if not path:
            return
        with self.server.lock:
            above = path.rstrip("/").rpartition("/")[0] + "/"
            if path in self.storage.folders:
                status = 405
            elif above not in self.storage.folders:
                status = 409
            else:
                self.storage.folders.add(path)
                status = 201
        self._answer(status)

    def do_MOVE(self) -> None:
        path = self._begin()
        if not path:
            return
        if self.storage.no_move:
            self._answer(501)
            return
        target = unquote(urlsplit(self.headers["Destination"]).path)
        with self.server.lock:
            found = self.storage.files.pop(path, None)
            if found is not None:
                self.storage.files[target] = found
        self._answer(201 if found else 404)

    def _answer(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        told = {"Content-Length": "0", **(headers or {})}
        for name, value in told.items():
            self.send_header(name, value)
        if self.command == "PUT" and status >= 300:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, authority: Authority, storage: FaultyStorage) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.certificate, authority.key)
        self.storage = storage
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None: ...  # clients that break off are what tests are about


@contextmanager
def storing(authority: Authority) -> Iterator[FaultyStorage]:
    """A storage for as long as the block lasts."""
    storage = FaultyStorage()
    server = _Server(authority, storage)
    storage.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield storage
    finally:
        if storage.hang is not None:
            storage.hang.set()
        server.shutdown()
        thread.join()
        server.server_close()
