"""An identity provider that is not well, or not what it says: what a central believes of one, and how often it asks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from joserfc import jwk

from central.configuration.login import Login
from central.login.provider import AT_ONCE, Provider, ask_with, open_session
from pilot.errors import Refusal
from tests.security.loopback_provider import CLIENT, LoopbackProvider, public


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider().serving() as provider:
        yield provider


def believed(provider: LoopbackProvider, *tokens: str) -> list[Mapping[str, Any] | str]:
    """What a central that has just started takes from these tokens: claims, or the refusal."""

    async def each() -> list[Mapping[str, Any] | str]:
        login = Login(provider.issuer, CLIENT, (), loopback_http=True)
        with open_session(login) as session:
            one, found = Provider(login, ask_with(session), time.monotonic), []
            for token in tokens:
                try:
                    found.append(await one.claims(token, None, time.time()))
                except Refusal as refusal:
                    found.append(f"{refusal.type}: {refusal.detail}")
            return found

    return asyncio.run(each())


def user(found: Mapping[str, Any] | str) -> object:
    return found if isinstance(found, str) else found["sub"]


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("PS256", jwk.RSAKey.generate_key(2048, {"kid": "p"})),
        ("ES256", jwk.ECKey.generate_key("P-256", {"kid": "e"})),
        ("EdDSA", jwk.OKPKey.generate_key("Ed25519", {"kid": "o"})),
        ("Ed25519", jwk.OKPKey.generate_key("Ed25519", {"kid": "o"})),
        ("RS256", jwk.RSAKey.generate_key(3072, {"kid": "r"})),
    ],
)
def test_algorithms_that_count(provider: LoopbackProvider, algorithm: str, key: jwk.Key) -> None:
    """Each with its own kind of key, with or without the key's name where one can be meant."""
    with provider.showing(public(key)):
        for kid in (key.kid, None):
            token = provider.token(key=key, header={"alg": algorithm, "kid": kid})
            assert user(believed(provider, token)[0]) == "ada"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ES384", jwk.ECKey.generate_key("P-384", {"kid": "k"})),
        ("ES256K", jwk.ECKey.generate_key("secp256k1", {"kid": "k"})),
        ("EdDSA", jwk.OKPKey.generate_key("Ed448", {"kid": "k"})),
        ("RS512", jwk.RSAKey.generate_key(2048, {"kid": "k"})),
    ],
)
def test_algorithms_that_do_not(provider: LoopbackProvider, algorithm: str, key: jwk.Key) -> None:
    """What is not in the list is refused, although the library and the provider know it."""
    with provider.showing(public(key)):
        token = provider.token(key=key, header={"alg": algorithm, "kid": "k"})
        assert str(believed(provider, token)[0]).startswith("unauthorized: the ID token is signed with")


def test_a_key_for_another_algorithm(provider: LoopbackProvider) -> None:
    """A key that the provider shows for one algorithm is not used with another."""
    key = jwk.RSAKey.generate_key(2048, {"kid": "k"})
    with provider.showing({**public(key), "alg": "PS256"}):
        rs256, ps256 = (provider.token(key=key, header={"alg": word, "kid": "k"}) for word in ("RS256", "PS256"))
        wrong, right = believed(provider, rs256, ps256)
        assert str(wrong) == "unauthorized: the ID token is signed with a key that the provider does not show"
        assert user(right) == "ada"


def test_a_shared_secret_among_the_keys(provider: LoopbackProvider) -> None:
    """A symmetric key that a provider shows by mistake verifies nothing, and rubbish does no harm to the others."""
    secret = jwk.OctKey.generate_key(256, {"kid": "oct"})
    rubbish = ({"kty": "RSA", "n": "!", "e": 7}, {"kty": ["RSA"]}, {}, {"kty": "RSA", "key_ops": 7}, {"alg": []})
    with provider.showing({**secret.as_dict(), "kid": "oct"}, *rubbish):
        token = provider.token(key=secret, header={"alg": "HS256", "kid": "oct"})
        wrong, right = believed(provider, token, provider.token())
        assert str(wrong).startswith("unauthorized: the ID token is signed with 'HS256'")
        assert user(right) == "ada"


def test_weak_keys_and_those_for_something_else(provider: LoopbackProvider) -> None:
    """A key of 1024 bits counts as none, as does one that is for encryption."""
    with pytest.warns(match="2048"):
        weak = jwk.RSAKey.generate_key(1024, {"kid": "weak"})
    other = jwk.RSAKey.generate_key(2048, {"kid": "other"})
    with provider.showing(public(weak), {**public(other), "use": "enc"}):
        for key in (weak, other):
            (found,) = believed(provider, provider.token(key=key, header={"kid": key.kid}))
            assert str(found).endswith("a key that the provider does not show")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"issuer": "https://evil.example.org"}, "calls itself 'https://evil.example.org'"),
        ({"jwks_uri": "http://evil.example.org/keys"}, "expected an https address as its jwks_uri"),
        ({"jwks_uri": "file:///etc/passwd"}, "expected an https address as its jwks_uri"),
        ({"jwks_uri": None}, "expected an https address as its jwks_uri"),
        ({"token_endpoint": "http://evil.example.org/"}, "expected an https address as its token_endpoint"),
        ({"device_authorization_endpoint": "http://u:p@127.0.0.1/"}, "expected an https address"),
        ({"authorization_endpoint": ["https://a"]}, "expected an https address"),
    ],
)
def test_a_provider_that_points_elsewhere(provider: LoopbackProvider, document: dict[str, Any], says: str) -> None:
    """What a discovery document says of another issuer, or of addresses without TLS, is not believed."""
    provider.document = document
    try:
        (found,) = believed(provider, provider.token())
    finally:
        provider.document = {}
    assert str(found).startswith("busy: the identity provider cannot be used")
    assert says in str(found)


def test_a_provider_that_says_too_much(provider: LoopbackProvider) -> None:
    """An answer without end is not read to its end."""
    provider.padding = "x" * 1_000_000
    try:
        (found,) = believed(provider, provider.token())
    finally:
        provider.padding = ""
    assert "answered more than" in str(found)


def test_a_provider_that_is_away_is_not_asked_by_everybody(provider: LoopbackProvider) -> None:
    """While it cannot be read, those who would like to log in are told so without a request each."""
    provider.document = {"issuer": "https://another.example.org"}
    before = sum(provider.asked.values())
    try:
        found = believed(provider, *(provider.token() for _ in range(20)))
    finally:
        provider.document = {}
    assert {str(one)[:5] for one in found} == {"busy:"}
    assert sum(provider.asked.values()) == before + 1


def test_nothing_of_the_environment_but_proxies(provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a ~/.netrc nor a bundle that a variable names has a say in whom the central trusts."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    with open_session(Login(provider.issuer, CLIENT, (), ca="/etc/idp.pem")) as session:
        assert session.verify == "/etc/idp.pem"
        assert session.trust_env is False


def test_what_is_passed_on_at_once_is_bounded(provider: LoopbackProvider) -> None:
    """However many strangers have the central speak to a slow provider, few do so at the same time."""
    go = threading.Event()

    def slow(url: str, form: Mapping[str, str] | None, token: str) -> tuple[int, bytes]:
        go.wait(30)
        return 200, b"{}"

    async def many() -> list[object]:
        one = Provider(Login(provider.issuer, CLIENT, (), loopback_http=True), slow, time.monotonic)
        asked = [asyncio.create_task(one.post("/token", {})) for _ in range(20)]
        done, _ = await asyncio.wait(asked, timeout=30, return_when=asyncio.FIRST_EXCEPTION)
        assert all(isinstance(each.exception(), Refusal) for each in done)
        go.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(many())
    assert [one for one in found if not isinstance(one, Refusal)] == [(200, b"{}")] * AT_ONCE
