"""An OpenStack whose certificate comes from an authority of its own, and one whose answers do not end."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from central.clouds.openstack.provider import make_openstack
from central.clouds.port import Room
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble
from central.trust.certificates import issue, make_authority

pytestmark = pytest.mark.integration

LIMITS = {"totalInstancesUsed": 3, "maxTotalInstances": 10, "totalCoresUsed": 0, "maxTotalCores": -1}
LIMITS |= {"totalRAMUsed": 0, "maxTotalRAMSize": -1}


@dataclass
class Cloudlet:
    """Keystone and Nova in one, with a certificate."""

    url: str
    ca: Path
    held: Path
    freed: threading.Event  # set when nobody reads an answer that does not end any more
    endless: bool = False  # answers come byte by byte

    def quota(self, ca: str, patience: float = 30.0) -> Room:
        cloud = Cloud("small", "plain", url=self.url, ca=ca, patience=patience)

        async def asked() -> Room:
            provider = make_openstack(cloud, "c0ffee01", self.held)
            try:
                return (await provider.quota()).machines
            finally:
                await provider.close()

        return asyncio.run(asked())


@pytest.fixture
def cloudlet(tmp_path: Path) -> Iterator[Cloudlet]:
    now = datetime.datetime.now(datetime.UTC)
    authority = make_authority(["localhost"], now)
    (tmp_path / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "server.pem").write_bytes(issue(authority, ["localhost"], 3600, now))
    (tmp_path / "held").write_text(json.dumps({"id": "i", "secret": "s"}))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}"
    there = Cloudlet(url, tmp_path / "ca.pem", tmp_path / "held", threading.Event())
    server.there = there  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield there
    there.freed.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        there: Cloudlet = self.server.there  # type: ignore[attr-defined]
        endpoint = {"interface": "public", "region": "r", "region_id": "r", "id": "e", "url": f"{there.url}/v2.1"}
        catalogue = [{"type": "compute", "name": "nova", "endpoints": [endpoint]}]
        told = {"token": {"expires_at": "2999-01-01T00:00:00.000000Z", "catalog": catalogue, "roles": []}}
        self._say(201, told)

    def do_GET(self) -> None:
        there: Cloudlet = self.server.there  # type: ignore[attr-defined]
        if not there.endless:
            self._say(200, {"limits": {"absolute": LIMITS}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            while not there.freed.wait(0.05):
                self.wfile.write(b" ")
        except OSError:
            there.freed.set()  # they have let go

    def _say(self, status: int, told: object) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("X-Subject-Token", "token")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_an_authority_that_is_named_is_trusted(cloudlet: Cloudlet) -> None:
    """Keystone and the services, by the file that the queue names."""
    assert cloudlet.quota(str(cloudlet.ca)) == Room(3, 10)


def test_one_that_is_not_named_is_not(cloudlet: Cloudlet) -> None:
    """No credential is sent there, and the message says what to do."""
    with pytest.raises(ComputingError, match="`ca`") as caught:
        cloudlet.quota("")
    assert caught.value.trouble is Trouble.UNREACHABLE


def test_an_answer_that_does_not_end_is_let_go(cloudlet: Cloudlet) -> None:
    """One that comes byte by byte keeps no thread for ever: after its time the connection is closed."""
    cloudlet.endless = True
    with pytest.raises(ComputingError) as caught:
        cloudlet.quota(str(cloudlet.ca), patience=1.0)
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert cloudlet.freed.wait(30), "they still read"
