"""Whoever shows an ID token that the provider did not give them, just now and for this, gets nothing for it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from joserfc import jwk

from pilot.login import LoggedIn, LoginOffer
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import decoded
from tests.security.conftest import UNCOUNTED
from tests.security.loopback_provider import CLIENT, LoopbackProvider, public

LOGIN = """
[login]
issuer = "{issuer}"
client_id = "pilotage"
loopback_http = true
life = "1 h"
rules = [
    {{value = "/muons", community = "physics", group = "muons"}},
    {{value = "/tau", community = "physics", group = "tau"}},
    {{value = "/sites/here", site = "here"}},
]
"""
#: Order of the group of P-256: of a signature (r, s), (r, ORDER - s) is another that is as good.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider().serving() as provider:
        yield provider


@pytest.fixture(scope="module")
def central(make_central: CentralMaker, provider: LoopbackProvider) -> RunningCentral:
    return make_central(UNCOUNTED, more=LOGIN.format(issuer=provider.issuer))


@pytest.fixture
def door(central: RunningCentral) -> Person:
    return central.person(None)


def show(door: Person, token: str, **more: Any) -> requests.Response:
    return door.post("/v1/login", data=json.dumps({"id_token": token, **more}))


def let_in(door: Person, token: str, **more: Any) -> LoggedIn:
    return decoded(show(door, token, **more), LoggedIn)


def refused(door: Person, token: str, says: str, kind: str = "unauthorized", **more: Any) -> None:
    """The central refuses with a sentence, and gives nothing."""
    answer = show(door, token, **more)
    assert answer.json()["type"] == kind, answer.text
    assert says in answer.json()["detail"]
    assert "pilotage_" not in answer.text


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# -- good ones, so that what is refused below is refused for its fault ------------------------------------------------
def test_a_good_token_is_worth_a_token_of_the_central(door: Person, central: RunningCentral, provider: Any) -> None:
    """It opens what its owner may, for as long as the settings say, and is in no log."""
    token = provider.token(azp=CLIENT, extra={"deep": [1]})
    found = let_in(door, token)
    assert (found.user, found.community, found.group, found.role) == ("ada", "physics", "muons", "member")
    assert found.expires == pytest.approx(time.time() + 3600, abs=120)
    ada = Person(central.url, central.ca, found.token)
    assert ada.get("/v1/whoami").json()["user"] == "ada"
    assert ada.post("/v1/logout").status_code == 200
    assert ada.get("/v1/whoami").status_code == 401
    ada.close()
    assert token not in central.words()
    assert found.token not in central.words()


# -- signatures -------------------------------------------------------------------------------------------------------
def test_alg_none(door: Person, provider: LoopbackProvider) -> None:
    """Without a signature nothing is believed, however the word is written."""
    for word in ("none", "None", "NONE", "nOnE"):
        head = b64({"alg": word, "kid": "first"})
        refused(door, f"{head}.{b64(provider.claims())}.", "is not a signed JWT")
        refused(door, f"{head}.{b64(provider.claims())}.{b64(b'x')}", "is signed with")


def test_hs256_with_the_public_key(door: Person, provider: LoopbackProvider) -> None:
    """A public key is not taken for a shared secret, in whatever form an attacker feeds it in."""
    key = provider.key
    pem, der, modulus = key.as_pem(private=False), key.as_der(private=False), public(key)["n"].encode()
    for secret in (pem, pem.strip(), der, modulus, unb64(modulus.decode())):
        words = f"{b64({'alg': 'HS256', 'kid': 'first'})}.{b64(provider.claims())}"
        forged = hmac.digest(secret, words.encode(), "sha256")
        refused(door, f"{words}.{b64(forged)}", "is signed with 'HS256'")


def test_a_swapped_key(door: Person, provider: LoopbackProvider) -> None:
    """A token signed with another key under the provider's name for its own is none."""
    other = jwk.RSAKey.generate_key(2048, {"kid": "first"})
    refused(door, provider.token(key=other), "has a signature that the provider's key did not make")


def test_a_key_that_comes_with_the_token(door: Person, provider: LoopbackProvider) -> None:
    """A key in the header, or an address of one, is not looked at."""
    own = jwk.RSAKey.generate_key(2048, {"kid": "mine"})
    for header in ({"jwk": public(own)}, {"jku": f"{provider.issuer}/evil"}, {"x5u": f"{provider.issuer}/evil"}):
        refused(door, provider.token(key=own, header={**header, "kid": "first"}), "the provider's key did not make")
        refused(
            door, provider.token(key=own, header={**header, "kid": "mine"}), "a key that the provider does not show"
        )
    assert "/evil" not in provider.asked


def test_another_algorithm_of_the_same_key(door: Person, provider: LoopbackProvider) -> None:
    """What is not in the list is not let pass because the library knows it."""
    _, claims, signature = provider.token().split(".")
    for word in ("RS384", "RS1", "ES256K", "", 7, None, ["RS256"], {"a": 1}):
        refused(door, f"{b64({'alg': word, 'kid': 'first'})}.{claims}.{signature}", "the ID token")


def test_changed_claims(door: Person, provider: LoopbackProvider) -> None:
    """A word changed after signing makes it worthless."""
    head, _, signature = provider.token().split(".")
    refused(door, f"{head}.{b64(provider.claims(sub='root'))}.{signature}", "the provider's key did not make")


def test_what_is_no_token(door: Person, provider: LoopbackProvider) -> None:
    """Rubbish of any kind is refused, and the central goes on."""
    good = provider.token()
    deep = b64(b"[" * 9000)
    for rubbish in ("", "a.b.c", "a.b", f"{good}.x", good + "=", "." * 100, f"{deep}.{deep}.{deep}", "a" * 20_000):
        assert show(door, rubbish).json()["type"] in ("unauthorized", "too-large"), rubbish[:40]
    for claims in (b"[]", b"null", b'{"a":', b"7", b"\xff"):
        head = b64({"alg": "RS256", "kid": "first"})
        refused(door, f"{head}.{b64(claims)}.{b64(b'x')}", "the ID token")
    assert show(door, "a" * 200_000).status_code == 413
    assert show(door, good).status_code == 201


def test_headers_that_must_be_understood(door: Person, provider: LoopbackProvider) -> None:
    """Extensions that a token says are critical, and that are not known here, end it."""
    for header in ({"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}):
        head = b64({"alg": "RS256", "kid": "first", **header})
        _, claims, signature = provider.token().split(".")
        refused(door, f"{head}.{claims}.{signature}", "the ID token")


# -- claims -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": -61}, "has expired"),
        ({"exp": None}, "lacks what it must say"),
        ({"exp": "never"}, "is not for this"),
        ({"exp": True}, "is not for this"),
        ({"iat": 120}, "its iat is in the future"),
        ({"iat": -700}, "has expired"),
        ({"iat": None}, "lacks what it must say"),
        ({"nbf": 120}, "its nbf is in the future"),
        ({"iss": "https://evil.example.org"}, "its iss is"),
        ({"iss": None}, "lacks what it must say"),
        ({"iss": ["a"]}, "its iss is"),
        ({"aud": "somebody-else"}, "its aud is"),
        ({"aud": None}, "lacks what it must say"),
        ({"aud": []}, "its aud is"),
        ({"aud": ["somebody-else", "another"]}, "its aud is"),
        ({"aud": [CLIENT, "another"]}, "its azp is"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "its azp is"),
        ({"azp": "another"}, "its azp is"),
        ({"aud": {"a": CLIENT}}, "its aud is"),
        ({"sub": None}, "lacks what it must say"),
        ({"sub": 7}, "is not for this"),
        ({"nonce": "of another login"}, "its nonce is not that of the login"),
    ],
)
def test_a_token_for_another_time_place_or_client(
    door: Person, provider: LoopbackProvider, changes: dict[str, Any], says: str
) -> None:
    """Expired, too early, too old, of another issuer, for another client: each is refused, and told which."""
    now = int(time.time())
    moved = {
        name: now + value if name in ("exp", "iat", "nbf") and type(value) is int else value
        for name, value in changes.items()
    }
    refused(door, provider.token(**moved), says)


def test_the_issuer_to_the_last_slash(door: Person, provider: LoopbackProvider) -> None:
    """An issuer that looks alike is another."""
    for issuer in (f"{provider.issuer}/", provider.issuer.upper(), f"{provider.issuer}.evil.example.org"):
        refused(door, provider.token(iss=issuer), "its iss is")


def test_clocks_may_differ_by_a_minute(door: Person, provider: LoopbackProvider) -> None:
    """Half a minute is forgiven, both ways."""
    now = int(time.time())
    assert let_in(door, provider.token(exp=now - 30, iat=now - 90)).user == "ada"
    assert let_in(door, provider.token(iat=now + 30, nbf=now + 30)).user == "ada"


def test_the_nonce_of_the_login(door: Person, provider: LoopbackProvider) -> None:
    """A token answers the request that its nonce is of: with another, or with none, it is refused."""
    refused(door, provider.token(nonce="one"), "its nonce", nonce="two")
    refused(door, provider.token(), "its nonce", nonce="two")
    assert let_in(door, provider.token(nonce="one"), nonce="one").user == "ada"


@pytest.mark.parametrize("user", ["../root", "(login)", "a b", "ada@example.org", ""])
def test_a_user_with_a_name_that_is_none(door: Person, provider: LoopbackProvider, user: str) -> None:
    """A provider cannot name a user as nobody may be called here."""
    if user:
        refused(door, provider.token(sub=user), "cannot be a user here", "forbidden")
    else:
        assert show(door, provider.token(sub=user)).status_code in (401, 403)


# -- replay -----------------------------------------------------------------------------------------------------------
def test_a_token_that_was_exchanged(door: Person, provider: LoopbackProvider) -> None:
    """Whoever captures an ID token comes too late: each is exchanged once, also of twenty at the same time."""
    token = provider.token()
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda _: requests.post(
                    f"{door.base}/v1/login", data=json.dumps({"id_token": token}), verify=str(door.verify), timeout=60
                ),
                range(20),
            )
        )
    assert sorted({answer.status_code for answer in answers}) == [201, 409]
    assert [answer.status_code for answer in answers].count(201) == 1
    refused(door, token, "was exchanged before", "replayed")


def test_a_token_that_lets_nobody_in_is_used_up_too(door: Person, provider: LoopbackProvider) -> None:
    """An ID token cannot be kept for when a rule lets its groups in."""
    token = provider.token(groups=["/nothing"])
    refused(door, token, "lets nobody in here", "forbidden")
    refused(door, token, "was exchanged before", "replayed")


def test_the_same_words_under_another_signature(make_central: CentralMaker, provider: LoopbackProvider) -> None:
    """A signature that was bent into another valid one, or spelled otherwise, does not make a new token of an old."""
    key = jwk.ECKey.generate_key("P-256", {"kid": "e"})
    with provider.showing(public(key)):
        door = make_central(UNCOUNTED, more=LOGIN.format(issuer=provider.issuer)).person(None)
        token = provider.token(key=key, header={"alg": "ES256", "kid": "e"})
        assert let_in(door, token).user == "ada"
        words, _, signature = token.rpartition(".")
        raw = unb64(signature)
        other = raw[:32] + (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        refused(door, f"{words}.{b64(other)}", "was exchanged before", "replayed")
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for spelled in (letters[letters.index(signature[-1]) ^ 1],):
            assert show(door, f"{words}.{signature[:-1]}{spelled}").status_code in (401, 409)


def test_an_old_word_takes_nothing_back(door: Person, central: RunningCentral, provider: LoopbackProvider) -> None:
    """A captured token that says less than a newer one cannot undo what the newer one gave."""
    old = provider.token(sub="flo", groups=["/nothing"])
    refused(door, old, "lets nobody in", "forbidden")
    found = let_in(door, provider.token(sub="flo"))
    refused(door, old, "was exchanged before", "replayed")
    flo = Person(central.url, central.ca, found.token)
    assert flo.get("/v1/whoami").status_code == 200
    flo.close()


# -- who is out stays out ---------------------------------------------------------------------------------------------
def test_whom_an_admin_let_go_of(door: Person, central: RunningCentral, provider: LoopbackProvider) -> None:
    """A user whom an admin has let go of does not come back by logging in again."""
    assert let_in(door, provider.token(sub="mal")).user == "mal"
    gus = central.person("gus")
    assert gus.post("/v1/members/revoke", data=json.dumps({"user": "mal", "reason": "left"})).status_code == 200
    refused(door, provider.token(sub="mal"), "gus took back the membership of mal in muons (left)", "forbidden")


def test_whom_the_provider_lets_go_of(door: Person, central: RunningCentral, provider: LoopbackProvider) -> None:
    """What a login gave ends with the next login that does not bear it: the token, and the waiting jobs are held."""
    first = let_in(door, provider.token(sub="kim"))
    kim = Person(central.url, central.ca, first.token)
    job = kim.submit_one()
    assert let_in(door, provider.token(sub="kim", groups=["/tau"])).group == "tau"
    assert kim.get("/v1/whoami").status_code == 401
    assert central.person("oli").job(job).state.value == "held"
    kim.close()


def test_no_more_than_the_rule_says(door: Person, central: RunningCentral, provider: LoopbackProvider) -> None:
    """Who asks for a group that the claims do not give gets none, nor does a claim say roles of its own."""
    refused(door, provider.token(), "you may log in to: muons of physics", "forbidden", group="tau")
    refused(door, provider.token(), "you are not let into", "forbidden", community="biology")
    found = let_in(door, provider.token(role="operator", scopes=["manage"], groups=["/muons", "operator"]))
    assert found.role == "member"


def test_an_admin_of_a_site_by_login(door: Person, central: RunningCentral, provider: LoopbackProvider) -> None:
    """A rule gives the role at the site and no more; it ends when the provider says so no more, and what an operator
    took back no login gives again."""
    found = let_in(door, provider.token(sub="sam", groups=["/sites/here"]))
    assert (found.community, found.group, found.role, found.site) == ("", "", "site-admin", "here")
    sam = Person(central.url, central.ca, found.token)
    assert [site["name"] for site in sam.get("/v1/sites").json()["sites"]] == ["here"]
    assert sam.get("/v1/jobs").status_code == 403
    refused(door, provider.token(sub="sam", groups=["/muons"]), "you are not let into", "forbidden", site="here")
    assert sam.get("/v1/sites").status_code == 401
    assert let_in(door, provider.token(sub="sam", groups=["/muons", "/sites/here"]), site="here").site == "here"
    gone = central.person("oli").post("/v1/members/revoke", json={"user": "sam", "site": "here"})
    assert gone.json()["tokens"] == 1
    said = "oli took back the membership of sam in here"
    refused(door, provider.token(sub="sam", groups=["/sites/here"]), said, "forbidden")
    assert let_in(door, provider.token(sub="sam", groups=["/muons"])).role == "member"
    sam.close()


# -- floods and providers that are not well ---------------------------------------------------------------------------
def test_a_flood_of_unknown_keys(make_central: CentralMaker, provider: LoopbackProvider) -> None:
    """Tokens with keys that nobody knows have the keys read anew once, not once each."""
    central = make_central(UNCOUNTED, more=LOGIN.format(issuer=provider.issuer))
    door = central.person(None)
    assert let_in(door, provider.token(jti="before the flood")).user == "ada"
    before = dict(provider.asked)
    for number in range(50):
        token = provider.token(header={"kid": f"unknown-{number}"})
        refused(door, token, "a key that the provider does not show")
    assert provider.asked["/keys"] == before["/keys"] + 1
    assert let_in(door, provider.token(jti="after the flood")).user == "ada"


def test_a_new_key_is_found(make_central: CentralMaker, provider: LoopbackProvider) -> None:
    """When the provider changes its key, the first token that is signed with it has the keys read anew; what the old
    key signs is worth nothing from then on."""
    door = make_central(UNCOUNTED, more=LOGIN.format(issuer=provider.issuer)).person(None)
    assert let_in(door, provider.token(jti="old")).user == "ada"
    new = jwk.RSAKey.generate_key(2048, {"kid": "second"})
    before, provider.shown = provider.shown, [public(new)]
    try:
        assert let_in(door, provider.token(key=new, header={"kid": "second"})).user == "ada"
        refused(door, provider.token(jti="withdrawn"), "a key that the provider does not show")
    finally:
        provider.shown = before


def test_the_offer_tells_nothing_secret(door: Person, provider: LoopbackProvider) -> None:
    """What anybody may read is where to log in, and as which client."""
    offer = decoded(door.get("/v1/login"), LoginOffer)
    assert (offer.issuer, offer.client_id) == (provider.issuer, CLIENT)
    for path in ("/v1/login/device", "/v1/login/token"):
        assert door.post(path, data="grant_type=password&username=a&password=b").json()["type"] == "not-found"


def test_where_nobody_logs_in(make_central: CentralMaker, provider: LoopbackProvider) -> None:
    """Without the section in the settings an ID token is worth nothing, and the answer says what is."""
    door = make_central(UNCOUNTED).person(None)
    refused(door, provider.token(), "takes API tokens alone", "not-found")
