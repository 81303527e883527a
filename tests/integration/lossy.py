"""A proxy between pilots and the central that loses what a test tells it to: replies, requests, or everything.

It ends TLS with a certificate of the central's own authority, so it sees which request is which; the central has
answered before a reply is lost.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from pilotage import Client
from tests.system import Plan, System


@dataclass
class Weather:
    """What the network does now. `lose`: pattern over "METHOD path" → how many more replies to lose."""

    lose: dict[str, int] = field(default_factory=dict)
    away: bool = False
    seen: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def loses(self, line: str) -> bool:
        with self.lock:
            self.seen[line] += 1
            for pattern, left in self.lose.items():
                if left and re.search(pattern, line):
                    self.lose[pattern] -= 1
                    self.lost[pattern] += 1
                    return True
        return False


@contextmanager
def lossy(certificate: Path, authority: Path, upstream: str) -> Iterator[tuple[str, Weather]]:
    """Serve on a free port of the loopback with a certificate and its key from one file; yields address and weather."""
    weather = Weather()
    target = urlsplit(upstream)
    trust = ssl.create_default_context(cafile=str(authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            if weather.away:
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upwards = http.client.HTTPSConnection(str(target.hostname), target.port, context=trust, timeout=90)
            try:
                upwards.request(self.command, self.path, body=body, headers=dict(self.headers))
                answer = upwards.getresponse()
                content = answer.read()
            except OSError:
                self.close_connection = True
                return
            finally:
                upwards.close()
            if weather.away or weather.loses(f"{self.command} {self.path}"):
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = relay

        def log_message(self, *_: object) -> None:
            """Tests read the weather instead."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A pilot that hangs up is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", weather
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def system_in_weather(folder: Path, plan: Plan) -> Iterator[tuple[System, Client, Weather]]:
    """A whole system whose pilots reach the central through such a proxy, for as long as the block lasts."""
    system = System(folder, plan)
    system.make()
    with lossy(folder / "private" / "server.pem", folder / "ca.pem", system.url) as (url, weather):
        settings = folder / "central.toml"
        settings.write_text(settings.read_text().replace(f'url = "{system.url}"', f'url = "{url}"'))
        system.plan.url = url
        system.start()
        try:
            with system.client() as client:
                yield system, client, weather
        finally:
            weather.away = False
            system.end()
