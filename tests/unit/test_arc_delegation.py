"""Who we are at ARC, and the proxies that we sign for it."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from central.elements.arc.client import Client
from central.elements.arc.credentials import BEARER, PROXY, Credential, CredentialFile
from central.elements.arc.delegation import LIFE, PROXY_CERT_INFO, Delegations, due, possible, requested_key, sign
from central.elements.port import ComputingError, Trouble

DATA = Path(__file__).parent.parent / "data/elements/arc"
REQUEST = (DATA / "request.pem").read_bytes()
NOW = 1_800_000_000.0
HOUR = 3600.0


def person(ends: float, extension: bytes = b"") -> Credential:
    """A certificate with its key, which ends then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(NOW - 86400 * 365, UTC))
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
    )
    if extension:
        builder = builder.add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, extension), critical=True)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = builder.sign(key, hashes.SHA256())
    return Credential(
        pem=certificate.public_bytes(serialization.Encoding.PEM) + secret, ends=ends, began=NOW - 86400 * 365
    )


# --- Delegation -------------------------------------------------------------------------------------------------------


def test_a_proxy_for_the_key_that_arc_made() -> None:
    """It has that key, is signed with ours, named after us, and inherits all that we may; our certificate follows."""
    us = person(NOW + 5 * HOUR)
    proxy, ours = x509.load_pem_x509_certificates(signed := sign(REQUEST, us, NOW))
    assert b"PRIVATE KEY" not in signed
    assert proxy.public_key() == requested_key(REQUEST)
    assert proxy.issuer == ours.subject
    *before, last = proxy.subject
    assert (list(before), last.oid) == (list(ours.subject), NameOID.COMMON_NAME)
    proxy.verify_directly_issued_by(ours)
    policy = proxy.extensions.get_extension_for_oid(PROXY_CERT_INFO)
    assert policy.critical
    assert policy.value.public_bytes().hex() == "300c300a06082b06010505071501"
    usage = proxy.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)


@pytest.mark.parametrize(("left", "life"), [(5 * HOUR, 5 * HOUR), (1000 * HOUR, LIFE)])
def test_a_proxy_lives_no_longer_than_what_signs_it(left: float, life: float) -> None:
    """And where that lives for long, a day."""
    proxy, _ = x509.load_pem_x509_certificates(sign(REQUEST, person(NOW + left), NOW))
    assert proxy.not_valid_after_utc.timestamp() == NOW + life
    assert proxy.not_valid_before_utc.timestamp() < NOW


def test_a_limited_proxy_makes_limited_ones() -> None:
    """What ours may not do the new one may not either."""
    limited = bytes.fromhex("300e300c060a2b060104019b50010109")
    proxy, _ = x509.load_pem_x509_certificates(sign(REQUEST, person(NOW + HOUR, limited), NOW))
    assert proxy.extensions.get_extension_for_oid(PROXY_CERT_INFO).value.public_bytes() == limited


def test_a_request_that_says_version_one() -> None:
    """One as they should be is read as well."""
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    assert requested_key(request.public_bytes(serialization.Encoding.PEM)) == key.public_key()


def test_a_request_that_its_owner_did_not_sign() -> None:
    """Whoever asks must have the key."""
    der = bytearray(base64.b64decode(b"".join(REQUEST.splitlines()[1:-1])))
    der[-1] ^= 1
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(InvalidSignature):
        requested_key(pem)
    with pytest.raises(ComputingError, match="no proxy can be delegated") as raised:
        sign(pem, person(NOW + HOUR), NOW)
    assert raised.value.trouble is Trouble.CREDENTIAL


@pytest.mark.parametrize("request_", [b"", b"nothing", b"-----BEGIN X-----\nMAA=\n-----END X-----\n", REQUEST[:400]])
def test_no_request_at_all(request_: bytes) -> None:
    """Whatever comes instead, nothing is signed."""
    with pytest.raises(ComputingError, match="no proxy can be delegated"):
        sign(request_, person(NOW + HOUR), NOW)


def test_a_credential_without_its_key() -> None:
    """Nothing can be signed with it."""
    us = person(NOW + HOUR)
    bare = Credential(pem=us.pem.partition(b"-----BEGIN PRIVATE")[0], ends=us.ends)
    with pytest.raises(ComputingError, match="no proxy can be delegated"):
        sign(REQUEST, bare, NOW)


@pytest.mark.parametrize(
    ("until", "could", "renew"),
    [
        (None, NOW + HOUR, True),  # signed by another central before this one
        (NOW + 24 * HOUR, NOW + 24 * HOUR, False),
        (NOW + 18 * HOUR, NOW + 24 * HOUR, False),
        (NOW + 11 * HOUR, NOW + 24 * HOUR, True),
        (NOW + HOUR, NOW + HOUR, False),  # ours has not been renewed
        (NOW - HOUR, NOW + HOUR, True),
        (NOW + 10, NOW + 30, False),  # not worth it
    ],
)
def test_when_a_delegation_is_renewed(until: float | None, could: float, renew: bool) -> None:
    """When less than half is left of what could be had, and never only to stay as it is."""
    assert due(until, could, NOW) is renew


def test_what_could_be_had() -> None:
    """As long as ours lives, but a day at most."""
    assert possible(Credential(ends=NOW + HOUR), NOW) == NOW + HOUR
    assert possible(Credential(ends=NOW + 1000 * HOUR), NOW) == NOW + LIFE


class Held(Client):
    """An ARC that holds delegations, as far as one is asked about them. `bad`: it renews none."""

    def __init__(self, credential: Credential) -> None:
        self.ours = credential
        self.ends: dict[str, float] = {}  # of each delegation
        self.renewed: list[str] = []
        self.of_jobs: dict[str, tuple[str, ...]] = {}
        self.asked: list[list[str]] = []
        self.bad = False

    def credential(self) -> Credential:
        return self.ours

    def new_delegation(self) -> tuple[str, bytes]:
        return f"d{len(self.ends)}", REQUEST

    def renew_delegation(self, name: str) -> bytes:
        if self.bad:
            raise ComputingError("no", Trouble.UNREACHABLE)
        self.renewed.append(name)
        return REQUEST

    def put_delegation(self, name: str, signed: bytes) -> None:
        self.ends[name] = x509.load_pem_x509_certificate(signed).not_valid_after_utc.timestamp()

    def delegations_of(self, references: Sequence[str]) -> dict[str, tuple[str, ...]]:
        self.asked.append(list(references))
        return {reference: self.of_jobs.get(reference, ()) for reference in references}


def test_new_jobs_share_a_delegation_until_another_is_due() -> None:
    """It is renewed when ours has been, and made anew where ARC has it no more."""
    now = NOW
    arc = Held(person(NOW + 10 * HOUR))
    delegations = Delegations(arc, lambda: now)
    assert [delegations.for_new_jobs() for _ in range(3)] == ["d0"] * 3
    assert (arc.ends, arc.renewed) == ({"d0": NOW + 10 * HOUR}, [])
    now, arc.ours = NOW + 9 * HOUR, person(NOW + 19 * HOUR)
    assert delegations.for_new_jobs() == "d0"
    assert (arc.ends, arc.renewed) == ({"d0": NOW + 19 * HOUR}, ["d0"])
    now, arc.ours, arc.bad = NOW + 18 * HOUR, person(NOW + 30 * HOUR), True
    with pytest.raises(ComputingError):
        delegations.for_new_jobs()
    assert delegations.for_new_jobs() == "d1"


def test_what_jobs_have_is_renewed_and_nothing_else() -> None:
    """ARC is asked once for each job what it has; what another central made is renewed at once, and then in time."""
    now = NOW
    arc = Held(person(NOW + 10 * HOUR))
    arc.of_jobs = {"a": ("old",), "b": ("old", "older")}
    delegations = Delegations(arc, lambda: now)
    delegations.keep(["a", "b", "c"])
    assert sorted(arc.renewed) == ["old", "older"]
    delegations.keep(["a", "b", "c"])
    assert arc.asked == [["a", "b", "c"]]
    now, arc.ours = NOW + 9 * HOUR, person(NOW + 19 * HOUR)
    delegations.keep(["a"])
    assert arc.ends == {"old": NOW + 19 * HOUR, "older": NOW + 10 * HOUR}


def test_a_delegation_that_cannot_be_renewed_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The list of jobs does not fail for it."""
    arc = Held(person(NOW + 10 * HOUR))
    arc.of_jobs, arc.bad = {"a": ("old",)}, True
    delegations = Delegations(arc, lambda: NOW)
    delegations.keep(["a"])
    assert "Delegation old could not be renewed: no" in caplog.text
    arc.bad = False
    delegations.keep(["a"])
    assert arc.renewed == ["old"]


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def laid(tmp_path: Path) -> Callable[..., str]:
    def lay(content: bytes, mode: int = 0o600) -> str:
        path = tmp_path / "credential"
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    return lay


def token(claims: object) -> bytes:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return b"e30." + body + b".c2lnbmVk\n"


def refused(file: CredentialFile, now: float = NOW) -> str:
    with pytest.raises(ComputingError) as raised:
        file.read(now)
    assert raised.value.trouble is Trouble.CREDENTIAL
    return str(raised.value)


def test_a_proxy_is_read_with_its_end(laid: Callable[..., str]) -> None:
    """Its content is handed on as it is."""
    us = person(NOW + HOUR)
    assert CredentialFile(laid(us.pem), PROXY).read(NOW) == us


def test_a_proxy_ends_with_the_first_certificate_of_its_chain(laid: Callable[..., str]) -> None:
    """What it was signed with may end before it."""
    short, long = person(NOW + HOUR), person(NOW + 2 * HOUR)
    assert CredentialFile(laid(long.pem + short.pem), PROXY).read(NOW).ends == NOW + HOUR


def test_a_proxy_that_will_end_is_an_alarm_before(laid: Callable[..., str]) -> None:
    """Twelve hours before, so that somebody can act; of one that is good for longer nothing is said."""
    path = laid(person(NOW + 13 * HOUR).pem)
    file = CredentialFile(path, PROXY)
    assert file.concern(NOW) == ""
    assert file.concern(NOW + 2 * HOUR) == f"the proxy in {path} ends in 11h; put a new one there before that"
    assert "ended at" in file.concern(NOW + 14 * HOUR)


def test_a_token_of_a_short_life_is_an_alarm_in_its_last_quarter(laid: Callable[..., str]) -> None:
    """Whoever renews it in time never sounds it; and one that does not tell its end has none."""
    file = CredentialFile(laid(token({"iat": NOW, "exp": NOW + 4000})), BEARER)
    assert file.concern(NOW + 2900) == ""
    assert "ends in" in file.concern(NOW + 3100)
    assert CredentialFile(laid(b"opaque"), BEARER).concern(NOW) == ""


def test_a_proxy_that_has_ended(laid: Callable[..., str]) -> None:
    """The sentence says which, when, and what to do."""
    path = laid(person(NOW - HOUR).pem)
    assert refused(CredentialFile(path, PROXY)) == (
        f"the proxy in {path} ended at 2027-01-15T07:00:00Z, 1h ago; put a new one there"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("kind", [PROXY, BEARER])
def test_a_credential_that_others_can_read(laid: Callable[..., str], mode: int, kind: str) -> None:
    """It is not used."""
    assert f"expected mode 0600 and our own, got {mode:04o}" in refused(CredentialFile(laid(b"x", mode), kind))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """So it says."""
    assert "cannot be read: No such file" in refused(CredentialFile(str(tmp_path / "none"), PROXY))
    assert "is not a file" in refused(CredentialFile(os.devnull, PROXY))


def test_a_file_of_another_kind(laid: Callable[..., str]) -> None:
    """A proxy is PEM, a token one word."""
    assert "is none: expected certificates and a private key" in refused(CredentialFile(laid(b"hello"), PROXY))
    assert "is no token" in refused(CredentialFile(laid(b"two words"), BEARER))
    assert "is no token" in refused(CredentialFile(laid(b""), BEARER))
    assert "has more than" in refused(CredentialFile(laid(b"x" * (1024 * 1024 + 1)), BEARER))


def test_a_credential_is_not_shown(laid: Callable[..., str]) -> None:
    """Whoever prints one, in a traceback or a log, prints no secret."""
    assert "PRIVATE KEY" not in repr(CredentialFile(laid(person(NOW + HOUR).pem), PROXY).read(NOW))
    assert "e30" not in repr(CredentialFile(laid(token({})), BEARER).read(NOW))


def test_a_token_tells_its_end(laid: Callable[..., str]) -> None:
    """Where it is one that does, an ended one is not sent."""
    found = CredentialFile(laid(token({"exp": NOW + 60})), BEARER).read(NOW)
    assert (found.token, found.ends) == (token({"exp": NOW + 60}).decode().strip(), NOW + 60)
    assert "ended at 2027-01-15T07:59:00Z" in refused(CredentialFile(laid(token({"exp": NOW - 60})), BEARER))


@pytest.mark.parametrize(
    "content",
    [b"opaque", b"a.b.c", token([]), token({}), token({"exp": "x"}), token({"exp": 1e999}), token({"exp": -1e300})],
)
def test_a_token_that_does_not_tell_its_end(laid: Callable[..., str], content: bytes) -> None:
    """It is sent, and whoever takes it knows."""
    assert CredentialFile(laid(content), BEARER).read(time.time()).ends is None
