"""The port for certificates of a central, for those who try it, and the grid around it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.x509.oid import ExtendedKeyUsageOID

from central.init import free_port
from pilot.login import LoggedIn
from tests import grid
from tests.grid import Attributes, Authority, Owned, attribute_certificate, in_proxy
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import decoded
from tests.security.conftest import UNCOUNTED

SETTINGS = """
[certificates]
port = {port}
capath = "{folder}/certificates"
vomsdir = "{folder}/vomsdir"
life = "2 h"
rules = [
    {{value = "/physics/muons/Role=admin", community = "physics", group = "muons", role = "group-admin"}},
    {{value = "/physics/muons", community = "physics", group = "muons"}},
    {{value = "/physics/tau", community = "physics", group = "tau"}},
    {{subject = "/DC=org/DC=example/OU=people/CN=Sue*", issuer = "{issuer}", community = "biology", group = "cells"}},
]
people = [{{subject = "/DC=org/DC=example/OU=people/CN=Ada", issuer = "{issuer}", user = "ada"}}]
"""
PATH = "/v1/login/certificate"
LOGIN = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()


@dataclass(frozen=True)
class Door:
    """The port for certificates of a central, the grid around it, and a place for files."""

    central: RunningCentral
    url: str
    folder: Path
    ca: Authority
    server: Owned

    def show(self, who: Owned | None, body: object = None, path: str = PATH, **more: Any) -> requests.Response:
        """Ask with a certificate. Raises `requests.RequestException` where the handshake fails."""
        file = str(who.write(self.folder / "shown.pem")) if who else None
        with requests.Session() as session:
            session.trust_env = False
            more.setdefault("method", "POST")
            more.setdefault("headers", {"Content-Type": "application/json"})
            data = json.dumps(body or {})
            return session.request(
                url=self.url + path,
                data=data,
                cert=file,
                verify=self.central.ca,
                timeout=30,
                allow_redirects=False,
                **more,
            )

    def let_in(self, who: Owned, **wanted: str) -> LoggedIn:
        return decoded(self.show(who, wanted), LoggedIn)

    def turned_away(self, who: Owned | None) -> str:
        """No handshake comes about; what the alert says."""
        with pytest.raises(requests.RequestException) as caught:
            self.show(who)
        return str(caught.value).lower()

    def refused(self, who: Owned, kind: str = "forbidden", **wanted: str) -> str:
        answer = self.show(who, wanted)
        assert answer.json()["type"] == kind, answer.text
        assert "pilotage_" not in answer.text
        return str(answer.json()["detail"])

    def voms(self, holder: Owned, *fqans: str, **changes: Any) -> bytes:
        said = Attributes(fqans=fqans or ("/physics", "/physics/muons"), **changes)
        return in_proxy(attribute_certificate(holder.certificate, self.server, said))


def open_door(make_central: CentralMaker, folder: Path) -> Door:
    """A central with that port, whose grid lies in a folder."""
    ca = grid.authority()
    ca.trust(folder / "certificates")
    server = ca.issue(grid.name(("CN", "voms.example.org")), usage=ExtendedKeyUsageOID.SERVER_AUTH)
    (folder / "vomsdir/physics").mkdir(parents=True)
    names = "/CN=voms.example.org\n/DC=org/DC=example/CN=Grid CA\n"
    (folder / "vomsdir/physics/voms.example.org.lsc").write_text(names)
    port = free_port()
    central = make_central(
        UNCOUNTED, more=SETTINGS.format(port=port, folder=folder, issuer="/DC=org/DC=example/CN=Grid CA")
    )
    return Door(central, f"https://localhost:{port}", folder, ca, server)


def work(door: Door, entered: LoggedIn) -> Person:
    """Somebody with the token that they were given."""
    found = Person(door.central.url, door.central.ca, entered.token)
    door.central.sessions.append(found)
    return found
