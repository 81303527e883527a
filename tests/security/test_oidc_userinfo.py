"""Groups that a provider tells at its userinfo endpoint alone: whose access token lets somebody in, whose does not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from joserfc import jwk

from central.configuration.login import Login
from central.login.logins import Logins
from central.login.provider import Provider
from pilot.login import LoggedIn, LoginOffer
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import decoded
from tests.security.conftest import UNCOUNTED
from tests.security.loopback_provider import ACCESS, LoopbackProvider, public
from tests.security.test_oidc_attacks import LOGIN, show

GROUPS = {"sub": "ada", "groups": ["/muons"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider().serving() as provider:
        yield provider


@pytest.fixture(scope="module")
def central(make_central: CentralMaker, provider: LoopbackProvider) -> RunningCentral:
    return make_central(UNCOUNTED, more=f"{LOGIN.format(issuer=provider.issuer)}userinfo = true\n")


@pytest.fixture
def door(central: RunningCentral) -> Person:
    return central.person(None)


@pytest.fixture(autouse=True)
def _says(provider: LoopbackProvider) -> None:
    provider.userinfo = GROUPS


def at_hash(access: str) -> str:
    digest = hashlib.sha256(access.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def refused(door: Person, token: str, says: str, kind: str = "unauthorized", access: str | None = ACCESS) -> None:
    answer = show(door, token, **({} if access is None else {"access_token": access}))
    assert answer.json()["type"] == kind, answer.text
    assert says in answer.json()["detail"]


def test_groups_that_userinfo_alone_says(door: Person, central: RunningCentral, provider: LoopbackProvider) -> None:
    """The client is asked for the access token; what the provider says for it lets its user in, and it is in no log."""
    assert decoded(door.get("/v1/login"), LoginOffer).userinfo
    for said in (None, at_hash(ACCESS)):
        answer = show(door, provider.token(groups=None, at_hash=said), access_token=ACCESS)
        found = decoded(answer, LoggedIn)
        assert (found.user, found.group) == ("ada", "muons")
    assert ACCESS not in central.words()


def test_what_the_id_token_says_stands(door: Person, provider: LoopbackProvider) -> None:
    """What is not signed neither takes the place of what is, nor names another user."""
    provider.userinfo = {**GROUPS, "iss": "https://evil.example.org", "aud": "x", "exp": 0}
    refused(door, provider.token(groups=["/nothing"]), "groups = '/nothing' of ada", "forbidden")
    assert decoded(show(door, provider.token(groups=None), access_token=ACCESS), LoggedIn).user == "ada"


@pytest.mark.parametrize("said", [{"sub": "eve", "groups": ["/muons"]}, {"groups": ["/muons"]}, {"sub": ["ada"]}])
def test_an_access_token_of_somebody_else(door: Person, provider: LoopbackProvider, said: dict[str, Any]) -> None:
    """Whoever shows another's access token beside the own ID token does not get the other's groups."""
    provider.userinfo = said
    refused(door, provider.token(groups=None), "is not of the user whom the ID token names")


def test_an_access_token_of_another_login(door: Person, provider: LoopbackProvider) -> None:
    """Where the ID token says which access token came with it, no other is shown to the provider."""
    before = provider.asked.get("/userinfo", 0)
    refused(door, provider.token(groups=None, at_hash=at_hash("another")), "is not the one that came with")
    refused(door, provider.token(groups=None, at_hash=7), "is not the one that came with")
    assert provider.asked.get("/userinfo", 0) == before


@pytest.mark.parametrize(
    ("access", "says"),
    [
        (None, "log in with a newer pilotage"),
        ("", "log in with a newer pilotage"),
        ("a b", "is none that could be sent"),
        ("a\r\nX-Evil: 1", "is none that could be sent"),
        ("\N{GREEK SMALL LETTER ALPHA}", "is none that could be sent"),
        ("a" * 8193, "is none that could be sent"),
        ("=" * 9000, "is none that could be sent"),
        ("guessed", "does not take the access token"),
    ],
)
def test_what_is_no_access_token(door: Person, provider: LoopbackProvider, access: str | None, says: str) -> None:
    """Nothing is sent that would be more than a token, and one that the provider does not know is refused."""
    refused(door, provider.token(groups=None), says, access=access)


def test_nobody_without_a_good_id_token_has_the_provider_asked(door: Person, provider: LoopbackProvider) -> None:
    """An access token by itself is worth nothing, nor does one make a central send requests."""
    before = provider.asked.get("/userinfo", 0)
    refused(door, provider.token(aud="somebody-else"), "its aud is")
    refused(door, "a.b.c", "the ID token")
    assert provider.asked.get("/userinfo", 0) == before


@pytest.mark.parametrize("said", [302, 500, 204, ["ada"], "ada", {"sub": "ada", "groups": ["x" * 300_000]}])
def test_a_userinfo_that_is_not_well(door: Person, provider: LoopbackProvider, said: Any) -> None:
    """What is no answer, too long, or somewhere else lets nobody in; the ID token is good for another try."""
    token = provider.token(groups=None)
    provider.userinfo = said
    refused(door, token, "the identity provider cannot be used", "busy")
    assert "/elsewhere" not in provider.asked
    provider.userinfo = GROUPS
    assert show(door, token, access_token=ACCESS).status_code == 201
    refused(door, token, "was exchanged before", "replayed")


def test_a_provider_without_userinfo(make_central: CentralMaker, provider: LoopbackProvider) -> None:
    """The sentence says what it lacks; nobody is let in by less."""
    provider.document = {"userinfo_endpoint": None}
    try:
        door = make_central(UNCOUNTED, more=f"{LOGIN.format(issuer=provider.issuer)}userinfo = true\n").person(None)
        refused(door, provider.token(), "as its userinfo_endpoint", "busy")
    finally:
        provider.document = {}


def test_where_it_is_not_asked_for(make_central: CentralMaker, provider: LoopbackProvider) -> None:
    """A central that reads ID tokens alone looks at no access token, and shows it to nobody."""
    before = provider.asked.get("/userinfo", 0)
    door = make_central(UNCOUNTED, more=LOGIN.format(issuer=provider.issuer)).person(None)
    assert not json.loads(door.get("/v1/login").text).get("userinfo")
    refused(door, provider.token(groups=None), "no groups of ada", "forbidden")
    assert show(door, provider.token(), access_token=ACCESS).status_code == 201
    assert provider.asked.get("/userinfo", 0) == before


@pytest.mark.parametrize("userinfo", [False, True])
def test_what_is_handed_out_where_the_central_speaks_to_the_provider(userinfo: bool) -> None:
    """The ID token, and the access token only to a client that is to bring it back; a refresh token to nobody."""
    answers = {
        "/.well-known/openid-configuration": {
            "issuer": "https://idp",
            "token_endpoint": "https://idp/token",
            "jwks_uri": "https://idp/keys",
            "userinfo_endpoint": "https://idp/userinfo",
        },
        "/keys": {"keys": [public(jwk.ECKey.generate_key("P-256"))]},
        "/token": {"id_token": "a.b.c", "access_token": ACCESS, "refresh_token": "r", "token_type": "Bearer"},
    }

    def ask(url: str, form: Mapping[str, str] | None, token: str) -> tuple[int, bytes]:
        return 200, json.dumps(answers[url.removeprefix("https://idp")]).encode()

    login = Login("https://idp", "pilotage", (), userinfo=userinfo)
    logins = Logins(login, Provider(login, ask, lambda: 0.0), "", "the client's secret")
    form = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d"
    status, body = asyncio.run(logins.token(form))
    assert status == 200
    assert set(json.loads(body)) == ({"id_token", "access_token"} if userinfo else {"id_token"})
