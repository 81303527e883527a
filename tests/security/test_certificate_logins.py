"""Whoever shows VOMS attributes or proxies that are not for this is not let in; and what a login with others gives."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from central.init import free_port
from pilot.login import LoggedIn, LoginOffer
from tests import grid
from tests.grid import HOUR, Attributes, Owned, attribute_certificate, in_proxy, person, proxy
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import ROOT
from tests.integration.wire_pilot import decoded
from tests.patience import PATIENCE
from tests.security.certificate_door import SETTINGS, Door, open_door, work
from tests.security.conftest import UNCOUNTED
from tests.security.loopback_provider import CLIENT, LoopbackProvider


@pytest.fixture(scope="module")
def door(make_central: CentralMaker, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return open_door(make_central, tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="module")
def ada(door: Door) -> Owned:
    return door.ca.issue(person("Ada"))


@pytest.fixture(scope="module")
def ben(door: Door) -> Owned:
    return door.ca.issue(person("Ben"))


# -- good ones, so that what is refused below is refused for its fault -------------------------------------------------
def test_a_proxy_with_attributes(door: Door, ada: Owned) -> None:
    """Attributes say the group and the role, and the token ends with the proxy."""
    entered = door.let_in(
        proxy(ada, ends=HOUR, extension=door.voms(ada, "/physics/muons", "/physics/muons/Role=admin"))
    )
    assert (entered.user, entered.community, entered.group, entered.role) == ("ada", "physics", "muons", "group-admin")
    assert entered.expires == pytest.approx(time.time() + HOUR, abs=60)
    assert work(door, entered).get("/v1/whoami").json()["user"] == "ada"
    assert f"https://localhost:{door.url.rpartition(':')[2]}" == door.url


def test_proxies_of_proxies_and_plain_certificates(door: Door, ada: Owned) -> None:
    """Delegated proxies count as the first; without attributes rules about subjects count."""
    deep = proxy(proxy(proxy(ada, extension=door.voms(ada))))
    assert door.let_in(deep).user == "ada"
    sue = door.ca.issue(person("Sue Example"))
    for each in (sue, proxy(sue)):
        entered = door.let_in(each)
        assert (entered.group, entered.user[:12]) == ("cells", "sue-example-")


def test_clients_are_told_where(door: Door) -> None:
    """The ordinary port says where one logs in with a certificate."""
    offer = decoded(door.central.person(None).get("/v1/login"), LoginOffer)
    assert (offer.certificates, offer.issuer) == (door.url, "")


def either_way(issuer: str, port: int, door: Door) -> str:
    """Settings by which people log in with a provider and with certificates."""
    account = f'''
[login]
issuer = "{issuer}"
client_id = "{CLIENT}"
loopback_http = true
rules = [{{value = "/muons", community = "physics", group = "muons"}}]
'''
    return account + SETTINGS.format(port=port, folder=door.folder, issuer="/DC=org/DC=example/CN=Grid CA")


def test_with_an_account_or_a_certificate(make_central: CentralMaker, door: Door) -> None:
    """Where people log in either way, clients are told of both."""
    with LoopbackProvider().serving() as provider:
        port = free_port()
        central = make_central(UNCOUNTED, more=either_way(provider.issuer, port, door))
        offer = decoded(central.person(None).get("/v1/login"), LoginOffer)
    assert (offer.issuer, offer.certificates) == (provider.issuer, f"https://localhost:{port}")


def test_without_the_provider(make_central: CentralMaker, door: Door, ada: Owned, tmp_path: Path) -> None:
    """A provider that is away keeps nobody out who logs in with a certificate."""
    port = free_port()
    central = make_central(UNCOUNTED, more=either_way(f"http://127.0.0.1:{free_port()}", port, door))
    assert central.person(None).get("/v1/login").json()["type"] == "busy"
    offer = decoded(central.person(None).get("/v1/login?certificates=true"), LoginOffer)
    assert (offer.issuer, offer.certificates) == ("", f"https://localhost:{port}")
    file = proxy(ada, extension=door.voms(ada)).write(tmp_path / "proxy.pem")
    words = [
        "login",
        "--folder",
        str(tmp_path / "mine"),
        "--url",
        central.url,
        "--ca",
        central.ca,
        "--proxy",
        str(file),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pilotage", *words], capture_output=True, text=True, cwd=ROOT, timeout=60 * PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert "Logged in as ada, member of muons in physics." in done.stdout


def test_where_nobody_shows_certificates(make_central: CentralMaker) -> None:
    """Who asks a central without that port where to show a certificate is told that there is none."""
    answer = make_central(UNCOUNTED).person(None).get("/v1/login?certificates=true")
    assert (answer.status_code, answer.json()["detail"]) == (404, "nobody logs in with certificates here")


# -- what a login gives and ends ---------------------------------------------------------------------------------------
def test_a_group_that_the_vo_does_not_name_any_more(door: Door, ada: Owned) -> None:
    """The next login with the VO's attributes ends what the group gave, tokens too; one without attributes does not."""
    both = proxy(ada, extension=door.voms(ada, "/physics", "/physics/muons", "/physics/tau"))
    before = work(door, door.let_in(both, group="tau"))
    door.refused(proxy(ada))
    assert before.get("/v1/whoami").status_code == 200
    door.let_in(proxy(ada, extension=door.voms(ada)))
    assert before.get("/v1/whoami").status_code == 401
    (row,) = door.central.person("oli").get("/v1/members?user=ada&group=tau&all=true").json()["members"]
    assert (row["who"], row["reason"]) == ("(certificate)", "the VO does not say so any more")
    assert work(door, door.let_in(both, group="tau")).get("/v1/whoami").status_code == 200


def test_what_an_admin_took_back(door: Door) -> None:
    """No certificate gives again what an admin took back; the tokens that it gave are good no more."""
    sue = door.ca.issue(person("Sue Dismissed"))
    entered = door.let_in(sue)
    before = work(door, entered)
    revoke = {"user": entered.user, "community": "biology", "group": "cells", "reason": "she has left"}
    answer = door.central.person("oli").post("/v1/members/revoke", data=json.dumps(revoke))
    assert answer.status_code == 200, answer.text
    assert before.get("/v1/whoami").status_code == 401
    for each in (sue, proxy(sue)):
        assert "oli took back the membership" in door.refused(each)


# -- what the central refuses ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", [grid.LIMITED, grid.INDEPENDENT, "1.2.3.4"])
def test_proxies_that_are_for_less(door: Door, ada: Owned, policy: str) -> None:
    """A limited proxy, such as jobs have, gives nobody a token; nor does one of a policy that is not known."""
    limited = proxy(ada, policy=policy, extension=door.voms(ada))
    assert "may not log in" in door.refused(limited)
    assert "may not log in" in door.refused(proxy(limited, extension=door.voms(ada)))


def test_attributes_of_another(door: Door, ada: Owned, ben: Owned) -> None:
    """What was copied out of somebody's proxy into one's own counts for nothing."""
    assert "was given to another certificate" in door.refused(proxy(ben, extension=door.voms(ada)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ends": -1.0, "begins": -60.0}, "has ended"),
        ({"authority": "chemistry://voms.example.org:1"}, "an attribute of another"),
        ({"fqans": ("/chemistry",), "authority": "chemistry://voms.example.org:1"}, "as a server of the VO chemistry"),
        ({"targets": ("elsewhere.example.org",)}, "meant for other hosts"),
        ({"revocable": True}, "noRevAvail"),
        ({"attributes": b"\x30" * 1000}, "cannot be read"),
    ],
)
def test_attributes_that_do_not_count(door: Door, ada: Owned, changes: dict[str, Any], says: str) -> None:
    """The refusal says why."""
    said = Attributes(**changes)
    extension = in_proxy(attribute_certificate(ada.certificate, door.server, said))
    assert says in door.refused(proxy(ada, extension=extension))


def test_attributes_that_one_signs_oneself(door: Door, ada: Owned) -> None:
    """Somebody with a certificate of a trusted authority is no VOMS server, whatever they write."""
    own = in_proxy(attribute_certificate(ada.certificate, ada))
    assert "is no server of the VO physics" in door.refused(proxy(ada, extension=own))
    named = Attributes(issuer=door.server.certificate.subject, certificates=(door.server.certificate,))
    forged = in_proxy(attribute_certificate(ada.certificate, Owned(door.server.certificate, ada.key), named))
    assert "a signature that its server did not make" in door.refused(proxy(ada, extension=forged))


def test_attributes_in_the_certificate_itself(door: Door) -> None:
    """Only a proxy carries attributes."""
    serial = x509.random_serial_number()
    plain = door.ca.issue(person("Odd"), serial=serial)
    odd = door.ca.issue(person("Odd"), serial=serial, extension=door.voms(plain))
    assert "no VOMS attributes that count" in door.refused(odd)


def test_two_authorities_and_one_subject(door: Door, ada: Owned) -> None:
    """A second trusted authority that gives somebody ada's subject does not make them ada."""
    second = grid.authority("Second CA")
    second.trust(door.folder / "certificates")
    other = second.issue(person("Ada"))
    entered = door.let_in(proxy(other, extension=door.voms(other)))
    assert entered.user.startswith("ada-")
    same_number = second.issue(person("Ada"), serial=ada.certificate.serial_number)
    assert door.let_in(proxy(same_number, extension=door.voms(same_number))).user == entered.user


def test_a_group_that_attributes_do_not_give(door: Door, ada: Owned) -> None:
    """Nobody chooses a group, a community or a site beyond what the rules give."""
    mine = proxy(ada, extension=door.voms(ada))
    for wanted in ({"group": "tau"}, {"community": "biology"}, {"site": "here"}):
        assert "you are not let into" in door.refused(mine, **wanted)


def test_more_in_the_request_than_there_is_to_say(door: Door, ada: Owned) -> None:
    """A request cannot claim a user, a role or attributes."""
    mine = proxy(ada, extension=door.voms(ada))
    for body in ({"user": "oli"}, {"role": "operator"}, {"fqans": ["/physics/muons/Role=admin"]}):
        answer = door.show(mine, body)
        assert answer.status_code == 422 or decoded(answer, LoggedIn).role == "member"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_page_that_makes_a_browser_ask(door: Door, ada: Owned, kind: str) -> None:
    """A request that a stranger's page can have a browser send, with its owner's certificate, gives nothing."""
    answer = door.show(proxy(ada, extension=door.voms(ada)), headers={"Content-Type": kind})
    assert answer.json()["type"] == "invalid"


def forged_headers() -> Sequence[dict[str, str]]:
    """What proxies that end TLS tell those behind them."""
    return [
        {"X-SSL-Client-S-DN": "/DC=org/DC=example/OU=people/CN=Ada"},
        {"SSL_CLIENT_CERT": "MII"},
        {"X-Forwarded-Client-Cert": "Subject=CN=Ada"},
    ]


@pytest.mark.parametrize("headers", forged_headers())
def test_headers_that_say_who_one_is(door: Door, ben: Owned, headers: dict[str, str]) -> None:
    """Only the handshake says who somebody is."""
    answer = door.show(ben, headers={**headers, "Content-Type": "application/json"})
    assert answer.status_code == 403
    assert "CN=Ben" in answer.json()["detail"]
