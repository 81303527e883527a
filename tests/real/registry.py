"""A registry of images on 127.0.0.1, as much of one as Apptainer asks for: manifests and blobs, as the OCI has them."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SIF_CONFIG = "application/vnd.sylabs.sif.config.v1+json"
SIF_LAYER = "application/vnd.sylabs.sif.layer.v1.sif"


@dataclass
class Registry:
    """What it has, and how often a blob was asked for."""

    port: int = 0
    host: str = "127.0.0.1"
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    served: int = 0
    silent: threading.Event = field(default_factory=threading.Event)  # while set, blobs never come

    def add(self, name: str, image: bytes) -> str:
        """Have a SIF file under a name; its address."""
        layer = self._blob(image, SIF_LAYER) | {"annotations": {"org.opencontainers.image.title": "image.sif"}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob(b"{}", SIF_CONFIG),
            "layers": [layer],
        }
        text = json.dumps(manifest).encode()
        self.manifests["latest"] = self.manifests[_digest(text)] = text
        return f"oras://{self.host}:{self.port}/{name}:latest"

    def _blob(self, content: bytes, kind: str) -> dict[str, Any]:
        self.blobs[_digest(content)] = content
        return {"mediaType": kind, "digest": _digest(content), "size": len(content)}


@contextmanager
def registry(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Registry]:
    """A running one; `host` is what it is called."""
    about = Registry(host=host)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, wanted = "application/octet-stream", self.path.rpartition("/")[2]
            content: bytes | None = None
            if "/manifests/" in self.path:
                content, kind = about.manifests.get(wanted), MANIFEST
            elif "/blobs/" in self.path:
                content = about.blobs.get(wanted)
                about.served += self.command == "GET" and content is not None and len(content) > 100
                while about.silent.wait(0) and content and len(content) > 100:
                    if stopped.wait(0.1):
                        return
            elif self.path.rstrip("/") == "/v2":
                content = b"{}"
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content or b"")))
            if content is not None:
                self.send_header("Docker-Content-Digest", _digest(content))
            self.end_headers()
            if self.command == "GET" and content:
                with suppress(ConnectionError):  # who asked was ended
                    self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    stopped = threading.Event()
    server = _server(Handler, tls)
    about.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield about
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()


def _server(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    return server


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
