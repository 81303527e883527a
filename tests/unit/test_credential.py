"""Which URLs a credential is for, and what of it must not be seen."""

from __future__ import annotations

import pytest

from pilot.credential import CredentialRequest, check, covers, delivered, fitting, reaching
from pilot.protocol import MAX_SECRETS, Credential, JobSpec, Lease


@pytest.mark.parametrize(
    ("prefix", "url"),
    [
        ("https://store.example/a", "https://store.example/a"),
        ("https://store.example/a", "https://store.example/a/b?x=1"),
        ("https://store.example/a/", "https://store.example/a/b"),
        ("https://store.example", "https://store.example/anything"),
        ("https://STORE.example:443/a", "https://store.example/a/b"),
        ("davs://store.example/a", "https://store.example/a/b"),
        ("https://store.example:8443/a", "davs://store.example:8443/a/b"),
        ("https://store.example/a%20b", "https://store.example/a b".replace(" ", "%20") + "/c"),
        ("root://store.example//eos/ada", "root://store.example:1094//eos/ada/x.root"),
        ("s3://lake", "s3://lake/a"),
        ("s3://lake/a", "s3://lake/a/b c?d#e%2e"),
        ("https://store.example/%61", "https://store.example/a/b"),
    ],
)
def test_what_a_prefix_covers(prefix: str, url: str) -> None:
    """The same place and everything below it, however host, port and signs are written."""
    assert covers(prefix, url)


@pytest.mark.parametrize(
    ("prefix", "url"),
    [
        ("https://store.example/data", "https://store.example/database"),
        ("https://store.example/a", "http://store.example/a"),
        ("https://store.example/a", "https://store.example:8443/a"),
        ("https://store.example/a", "https://store.example.evil.example/a"),
        ("https://store.example/a", "https://store.example@evil.example/a"),
        ("https://store.example/a", "https://store.example/a/../b"),
        ("https://store.example/a", "https://store.example/a/%2e%2e/b"),
        ("https://store.example/a", "https://store.example/a/..%2fb"),
        ("https://store.example/a", "https://store.example\\@evil.example/a"),
        ("https://store.example/a", "https://store.example/a\n"),
        ("https://store.example/a/b", "https://store.example/a"),
        ("https://store.example/a", "https://store.example:bad/a"),
        ("s3://lake/a", "s3://lake/ab"),
        ("s3://lake/a", "s3://lakes/a"),
        ("s3://lake/a", "s3://lake/a/../b"),
        ("s3://lake/a", "https://lake/a"),
        ("s3://", "s3:///a"),
        ("", ""),
    ],
)
def test_what_a_prefix_does_not_cover(prefix: str, url: str) -> None:
    """Another place, and whatever might lead to one: no secret is sent there."""
    assert not covers(prefix, url)


def test_the_closest_credential_is_used() -> None:
    """Of several that cover a URL the one that says most of it; none when none does."""
    wide = Credential("wide", "bearer", urls=("https://h/", "https://other/"))
    close = Credential("close", "bearer", urls=("https://x/", "https://h/a/"))
    useless = Credential("text", "text")
    assert fitting([wide, close, useless], "https://h/a/b") is close
    assert fitting([wide, close, useless], "https://h/b") is wide
    assert fitting([wide, close, useless], "https://nobody/b") is None
    assert fitting([], "https://h/") is None
    assert reaching(("https://h/",), "https://g/") == -1


def test_what_is_kept_out_of_logs() -> None:
    """Each line of a secret by itself, user and password as a header has them; not the user, nor what is too short."""
    key = Credential("key", "text", {"text": "{\n  -----BEGIN KEY-----\r\n  MIIBOgIBAAJB\n}\n"})
    login = Credential("login", "basic", {"user": "administrator", "password": "open sesame"})
    assert key.secrets == ("-----BEGIN KEY-----", "MIIBOgIBAAJB")
    assert login.secrets == ("YWRtaW5pc3RyYXRvcjpvcGVuIHNlc2FtZQ==", "open sesame")
    many = Credential("many", "text", {"text": "".join(f"line {number}\n" for number in range(1000))})
    assert len(many.secrets) == MAX_SECRETS
    lease = Lease(1, 1, 60, JobSpec(("true",)), "the-token", 1, credentials=(key, login))
    assert set(lease.secrets) == {"the-token", *key.secrets, *login.secrets}


def test_no_record_shows_its_secret() -> None:
    """What a fault prints of a credential, a lease or a request does not have the secret in it."""
    login = Credential("login", "basic", {"user": "ann", "password": "open sesame"})
    lease = Lease(1, 1, 60, JobSpec(("true",)), "the-token", 1, credentials=(login,))
    request = CredentialRequest("text", {"text": "open sesame"})
    assert "sesame" not in f"{login!r} {lease!r} {request!r}"
    assert "the-token" not in repr(lease)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200"])
def test_no_endpoint_is_a_metadata_service(host: str) -> None:
    """Nobody makes the pilot ask a cloud for the secrets of its machine."""
    values = {"endpoint": f"http://{host}", "access_key": "AK", "secret_key": "secret/key+1"}
    (problem,) = check(CredentialRequest("s3", values, ("s3://lake/",)))
    assert "got one at which clouds tell" in str(problem)


def test_a_sound_credential_has_no_problem() -> None:
    """One of each kind, with all that it may have."""
    s3 = {"endpoint": "http://127.0.0.1:9000", "access_key": "AK", "secret_key": "secret/key+1", "region": "us-east-1"}
    sound = [
        CredentialRequest("text", {"text": "many\nlines\n"}, expires_in=60),
        CredentialRequest("bearer", {"token": "abc.def"}, ("https://h", "davs://h:1/a/", "root://h//a")),
        CredentialRequest("basic", {"user": "ada", "password": "p@ss wörd"}, ("davs://h/",)),
        CredentialRequest("s3", {**s3, "style": "host", "session_token": "t0k3n/+="}, ("s3://lake/a b",)),
    ]
    assert [check(one) for one in sound] == [()] * 4


def test_a_proxy_is_a_file_to_every_pilot() -> None:
    """What a pilot of any version gets of a proxy is a text; what it gets of s3 is where it may be used."""
    assert delivered("grid", "x509-proxy", {"proxy": "PEM"}, ()) == Credential("grid", "text", {"text": "PEM"})
    assert delivered("lake", "s3", {"secret_key": "k"}, ("s3://lake/",), 60) == Credential(
        "lake", "s3", {}, ("s3://lake/",), 60
    )
    assert delivered("eos", "bearer", {"token": "t"}, ()) == Credential("eos", "bearer", {"token": "t"})


def test_a_proxy_that_is_none() -> None:
    """A proxy is PEM, and nothing that the pilot itself uses for a URL."""
    [problem] = check(CredentialRequest("x509-proxy", {"proxy": "not a proxy at all"}))
    assert problem.where == "values.proxy"
    [problem] = check(CredentialRequest("x509-proxy", {"proxy": "-----BEGIN CERTIFICATE-----"}, ("https://h/",)))
    assert "expected none" in problem.problem
