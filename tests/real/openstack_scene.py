"""The real OpenStack of tests/real/openstack.sh, as tests see it, and the relay between us and its Nova."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

#: Where a Nova of the region Relayed is looked for, and where it is.
RELAY, NOVA = 25014, 25004
FLAVOR, IMPOSSIBLE, IMAGE, NETWORK, GROUP, KEY = (
    *("pilot.small", "pilot.impossible"),
    *("plain", "pilots", "pilots", "operator"),
)


def place() -> Path | None:
    there = os.environ.get("PILOTAGE_OPENSTACK")
    return Path(there) if there else None


class Account:
    """What there is to use, and the administrator's side of it."""

    def __init__(self, place: Path) -> None:
        told = json.loads((place / "account.json").read_text())
        self.url: str = told["url"]
        self.credential: dict[str, str] = told["credential"]
        self.project: str = told["project"]
        self._admin: str = told["admin"]

    def token(self) -> str:
        """One of the credential of pilots."""
        identity = {"methods": ["application_credential"], "application_credential": self.credential}
        return self._token({"identity": identity})

    def revoke(self, token: str) -> None:
        headers = {"X-Auth-Token": self.admin(), "X-Subject-Token": token}
        answer = requests.delete(f"{self.url}/auth/tokens", headers=headers, timeout=60)
        assert answer.status_code == 204, answer.text

    def admin(self) -> str:
        domain = {"id": "default"}
        user = {"name": "admin", "domain": domain, "password": self._admin}
        scope = {"project": {"name": "admin", "domain": domain}}
        return self._token({"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope})

    def _token(self, auth: dict[str, Any]) -> str:
        answer = requests.post(f"{self.url}/auth/tokens", json={"auth": auth}, timeout=60)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def nova(self, method: str, path: str, body: object = None) -> Any:
        """Ask as the administrator."""
        headers = {"X-Auth-Token": self.admin()}
        url = f"http://127.0.0.1:{NOVA}/v2.1{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def clear(self) -> None:
        """Delete every machine of the project, also what an OpenStack that was ended had begun to make or to delete."""
        for server in self.nova("GET", f"/servers?all_tenants=1&project_id={self.project}")["servers"]:
            self.nova("POST", f"/servers/{server['id']}/action", {"os-resetState": {"state": "error"}})
            self.nova("DELETE", f"/servers/{server['id']}")
        end = time.monotonic() + 300
        while self.nova("GET", f"/servers?all_tenants=1&project_id={self.project}")["servers"]:
            assert time.monotonic() < end, "machines are left"
            time.sleep(1)

    @contextmanager
    def full(self) -> Iterator[None]:
        """The quota of machines is what there are."""
        path = f"/os-quota-sets/{self.project}"
        used = self.nova("GET", f"{path}/detail")["quota_set"]["instances"]
        self.nova("PUT", path, {"quota_set": {"instances": used["in_use"]}})
        try:
            yield
        finally:
            self.nova("PUT", path, {"quota_set": {"instances": used["limit"]}})

    def power_off(self, id: str) -> None:
        self.nova("POST", f"/servers/{id}/action", {"os-stop": None})


@dataclass
class Relay:
    """Between us and Nova, on the port where the region Relayed has it."""

    lost: bool = False  # the answers to creations
    deaf: threading.Event = field(default_factory=threading.Event)  # nothing is passed on while it is set
    heard: threading.Event = field(default_factory=threading.Event)  # set when those that wait may go

    @contextmanager
    def loses(self) -> Iterator[None]:
        self.lost = True
        try:
            yield
        finally:
            self.lost = False

    @contextmanager
    def is_deaf(self) -> Iterator[None]:
        self.heard.clear()
        self.deaf.set()
        try:
            yield
        finally:
            self.deaf.clear()
            self.heard.set()


@contextmanager
def relayed() -> Iterator[Relay]:
    relay = Relay()
    server = ThreadingHTTPServer(("127.0.0.1", RELAY), _handler(relay))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.heard.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(relay: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if relay.deaf.is_set():
                relay.heard.wait(60)
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            nova = http.client.HTTPConnection("127.0.0.1", NOVA, timeout=120)
            try:
                nova.request(self.command, self.path, body, dict(self.headers))
                answer = nova.getresponse()
                content = answer.read()
            finally:
                nova.close()
            if relay.lost and self.command == "POST" and self.path.endswith("/servers"):
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name in ("Content-Type", "Retry-After"):
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # whoever asked has given up
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_DELETE = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler
