"""Signed requests, also against an independent implementation of RFC 9421."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
import requests
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from pilot import signatures
from pilot.errors import Refusal

KEY = bytes(range(32))
STAMP = "0123456789abcdef" * 2
TARGET = "/v1/logs/x/pilot?offset=12"
BODY = b'{"version": 1}'
TOKEN = "Pilot sealed-token"


def signed(**changes: object) -> dict[str, str]:
    arguments: dict[str, object] = {
        "key": KEY,
        "method": "POST",
        "target": TARGET,
        "body": BODY,
        "authorization": TOKEN,
        "keyid": STAMP,
        "created": 1_000_000,
        "nonce": "nonce-nonce",
    }
    arguments.update(changes)
    return signatures.sign(**arguments)  # type: ignore[arg-type]


def check(headers: Mapping[str, str], *, method: str = "POST", target: str = TARGET, body: bytes = BODY,
          key: bytes = KEY, now: float = 1_000_000.0) -> None:  # fmt: skip
    lower = {name.lower(): value for name, value in headers.items()}
    signatures.verify(signatures.read(lower), key, method, target, body, lower, now=now)


def refused(headers: Mapping[str, str], **changes: object) -> str:
    with pytest.raises(Refusal) as caught:
        check(headers, **changes)  # type: ignore[arg-type]
    return caught.value.type


def test_what_was_signed_verifies() -> None:
    """A request as signed is accepted, and the signature says who and when."""
    headers = signed()
    check(headers)
    said = signatures.read({name.lower(): value for name, value in headers.items()})
    assert (said.keyid, said.created, said.nonce) == (STAMP, 1_000_000, "nonce-nonce")


@pytest.mark.parametrize(
    "changes",
    [{"method": "PUT"}, {"target": TARGET + "3"}, {"body": BODY + b" "}, {"key": bytes(32)}],
)
def test_every_covered_part_counts(changes: dict[str, object]) -> None:
    """A change of method, target, body or key is a bad signature."""
    assert refused(signed(), **changes) == "bad-signature"


@pytest.mark.parametrize("name", ["Authorization", "Content-Digest", "Signature", "Signature-Input"])
def test_every_header_counts(name: str) -> None:
    """A header that is missing, or belongs to another request, is a bad signature."""
    headers = signed()
    assert refused({**headers, name: signed(authorization="Pilot other", body=b"o", nonce="other-one")[name]}) == (
        "bad-signature"
    )
    del headers[name]
    assert refused(headers) == "bad-signature"


@pytest.mark.parametrize("name", ["Authorization", "Content-Digest", "Signature", "Signature-Input"])
def test_letters_beyond_ascii_are_a_bad_signature(name: str) -> None:
    """A header with letters that do not belong in it is refused, and breaks nothing."""
    headers = signed()
    assert refused({**headers, name: headers[name] + "é"}) == "bad-signature"


def test_fewer_components_are_not_enough() -> None:
    """A signature that leaves a component out is refused though it would verify over what it covers."""
    headers = signed()
    headers["Signature-Input"] = headers["Signature-Input"].replace('"content-digest" ', "")
    assert refused(headers) == "bad-signature"


@pytest.mark.parametrize("offset", [-signatures.MAX_AGE - 1, signatures.MAX_AGE + 1])
def test_too_old_or_too_new(offset: int) -> None:
    """A signature too far from the central's time is told that time, so that the pilot can correct itself."""
    with pytest.raises(Refusal) as caught:
        check(signed(), now=1_000_000 + offset)
    assert (caught.value.type, caught.value.server_time) == ("clock-skew", 1_000_000 + offset)


class _Key(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> bytes:
        assert key_id == STAMP
        return KEY

    def resolve_private_key(self, key_id: str) -> bytes:
        return self.resolve_public_key(key_id)


def _request(headers: Mapping[str, str]) -> requests.PreparedRequest:
    return requests.Request("POST", "https://central.example" + TARGET, headers=dict(headers), data=BODY).prepare()


def test_another_implementation_verifies_ours() -> None:
    """A library that implements RFC 9421 accepts our signature."""
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Key())
    results = verifier.verify(_request(signed(created=int(time.time()))))
    assert [str(result.label) for result in results] == [signatures.LABEL]


def test_ours_verifies_another_implementation() -> None:
    """We accept what a library that implements RFC 9421 has signed, whatever the order of its parameters."""
    request = _request({"Authorization": TOKEN, "Content-Digest": signatures.content_digest(BODY)})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Key())
    signer.sign(
        request,
        key_id=STAMP,
        label=signatures.LABEL,
        nonce="nonce-nonce",
        include_alg=True,
        covered_component_ids=signatures.COVERED,
        use_existing_digest=True,
    )
    check({name: str(value) for name, value in request.headers.items()}, now=time.time())
