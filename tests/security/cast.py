"""Everybody who may call a central: every kind of caller that a route can name, and every kind of scoped token.

What somebody holds is made as the central makes it, under its own key ring where nothing else could (an aged token).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import requests

from central.routes import TABLE
from central.serving import sse
from central.serving.http import Route
from central.serving.router import PART
from central.trust import keys
from central.trust.rules import Scope, Who
from central.trust.seal import KeyRing, PilotToken, Ticket
from pilot.people import MadeToken, MemberView
from pilot.protocol import JOB_SCHEME, PILOT_SCHEME, TICKET_SCHEME, Lease
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import SignedPilot

#: What nobody stored.
NO_FILE = hashlib.sha256(b"nobody has this").hexdigest()
NO_STAMP = "0" * 32
NO_JOB = 999_999


@dataclass(frozen=True)
class Part:
    """A caller of one kind. `passes`: the names on a route that let it in; `scope`: what its token is for, if that
    counts; `pilot` signs what it sends."""

    name: str
    passes: Collection[Who]
    headers: Mapping[str, str]
    scope: Scope | None = None
    pilot: SignedPilot | None = None


class Cast:
    """The callers of one central, each ready to ask for anything."""

    def __init__(self, central: RunningCentral) -> None:
        self.central = central
        self.ring = ring_of(central)
        self.http = Person(central.url, central.ca, None)

    def __enter__(self) -> Cast:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def leased(self) -> tuple[SignedPilot, Lease]:
        """A pilot that has just been given a job of ann's."""
        pilot = self.central.pilot()
        self.central.person("ann").submit_one()
        return pilot, pilot.match().leases[0]

    def parts(self) -> list[Part]:
        """One caller of each kind."""
        pilot, lease = self.leased()
        aged = self.central.pilot()
        aged.token = self.ring.seal(replace_token(self.ring.open(PilotToken, aged.token), expires=time.time() - 1))
        ticket = self.ring.seal(Ticket(pilot.stamp))
        people = {"ann": Who.MEMBER, "gus": Who.GROUP_ADMIN, "cam": Who.COMMUNITY_ADMIN, "oli": Who.OPERATOR}
        found = [
            Part("nobody", (), {}),
            Part("pilot", (Who.PILOT, Who.AGED_PILOT), {}, pilot=pilot),
            Part("aged pilot", (Who.AGED_PILOT,), {}, pilot=aged),
            Part("payload", (Who.PAYLOAD,), {"Authorization": f"{JOB_SCHEME} {lease.job_token}"}),
            Part("ticket", (Who.TICKET,), {"Authorization": f"{TICKET_SCHEME} {ticket}"}),
        ]
        for rank, (name, who) in enumerate(people.items()):
            passes = (*tuple(people.values())[: rank + 1], *((Who.SITE_ADMIN,) if who is Who.OPERATOR else ()))
            found.append(Part(who.value, passes, as_person(self.central, name)))
        found += [self._scoped(scope) for scope in Scope]
        self.let_in_kim()
        found.append(Part("site-admin", (Who.SITE_ADMIN,), self.as_kim()))
        found += [
            Part(f"site-admin's token to {scope.value}", (Who.SITE_ADMIN,), self.as_kim(scope), scope)
            for scope in Scope
        ]
        return found

    def _scoped(self, scope: Scope) -> Part:
        """An operator's token that was made for one thing alone."""
        oli = self.central.person("oli")
        made = oli.say("/v1/tokens", {"scopes": [scope.value]}, MadeToken)
        people = (Who.MEMBER, Who.GROUP_ADMIN, Who.COMMUNITY_ADMIN, Who.OPERATOR, Who.SITE_ADMIN)
        return Part(f"token to {scope.value}", people, {"Authorization": f"Bearer {made.token}"}, scope)

    def let_in_kim(self, site: str = "here") -> None:
        """Make kim the admin of a site."""
        self.central.person("oli").say("/v1/members", {"user": "kim", "site": site}, MemberView)

    def as_kim(self, *scopes: Scope, site: str = "here") -> dict[str, str]:
        """A token of kim's, for everything when nothing is said."""
        asked = {"user": "kim", "site": site, "scopes": [scope.value for scope in scopes or Scope]}
        made = self.central.person("oli").say("/v1/tokens", asked, MadeToken)
        return {"Authorization": f"Bearer {made.token}"}

    def ask(self, part: Part, method: str, path: str, body: bytes = b"{}") -> requests.Response:
        """Send a request. Of an answer without an end, the beginning is all that is read."""
        headers = dict(part.headers)
        if part.pilot is not None:
            headers |= part.pilot.proof(method, self.central.url + path, body)
        answer = self.http.request(method, path, data=body, headers=headers, stream=True)
        if answer.headers.get("Content-Type", "").startswith(sse.MEDIA):
            answer.close()
        else:
            assert isinstance(answer.content, bytes)  # read, so that the connection can be used again
        return answer


def ring_of(central: RunningCentral) -> KeyRing:
    """The keys of a central: what whoever attacks it does not have."""
    path = central.folder / "private" / "keys.json"
    return keys.ring_of(keys.read(path.read_bytes(), str(path)))


def as_person(central: RunningCentral, name: str) -> dict[str, str]:
    return {"Authorization": str(central.person(name).headers["Authorization"])}


def as_pilot(token: str) -> dict[str, str]:
    """A pilot's token, without a signature."""
    return {"Authorization": f"{PILOT_SCHEME} {token}"}


def replace_token(token: PilotToken, **changes: Any) -> PilotToken:
    return msgspec.structs.replace(token, **changes)


# -- paths ----------------------------------------------------------------------------------------------------------
def name_of(route: Route[Any]) -> str:
    return " ".join((route.method, PART.sub(r"{\g<name>}", route.path)))


def parts_of(route: Route[Any]) -> set[str]:
    return {part["name"] for part in PART.finditer(route.path)}


def filled(route: Route[Any], **values: object) -> str:
    """The path of a route with these parts, and harmless ones where none are given."""
    known = {
        "stamp": NO_STAMP,
        "job": NO_JOB,
        "attempt": 1,
        "stream": "stdout",
        "sha256": NO_FILE,
        "verb": "kill",
        "name": "nobody-has-this",
        "group": "nobody-has-this",
        "user": "nobody",
        "peek": 1,
        "number": NO_JOB,
    }
    path = PART.sub(lambda part: str({**known, **values}[part["name"]]), route.path)
    return f"{path}?grep=x" if path.endswith("/search") else path


def routes_for(*names: Who) -> list[Route[Any]]:
    """The routes that let one of these in."""
    return [route for route in TABLE if set(names) & set(route.who)]
