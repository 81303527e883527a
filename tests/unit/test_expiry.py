"""When credentials end by what they say of themselves."""

from __future__ import annotations

import base64
import json
import time

import pytest

from central.trust.expiry import certified, ends_by_itself, read_proxy
from pilot.errors import InvalidInput
from tests import grid
from tests.proxies import proxy

NOON = 1_800_000_000.0


def token(claims: object) -> str:
    """A JSON web token with these claims, signed by nobody."""
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{middle}.c2lnbmVk"


def test_a_proxy_ends_with_the_first_of_its_chain() -> None:
    """A proxy is good no longer than the certificate below it."""
    assert read_proxy(proxy(NOON)).ends == NOON
    assert read_proxy(proxy(NOON, below=NOON - 60)).ends == NOON - 60
    assert read_proxy(proxy(NOON)).subject == "CN=1234,CN=Ada Example"


def test_a_proxy_ends_with_its_attributes() -> None:
    """VOMS attributes that end before their proxy end it, since sites go by them; they are told."""
    voms = b"\x18\x0f20260101000000Z\x18\x0f20260101120000Z\x04\x21/atlas/Role=pilot/Capability=NULL"
    found = read_proxy(proxy(NOON, attributes=voms))
    assert found.ends == 1_767_268_800.0
    assert found.attributes == ("/atlas/Role=pilot/Capability=NULL",)


def test_a_proxy_as_a_voms_server_has_it_made() -> None:
    """Of an attribute certificate with its server's certificate the attributes are told, and nothing else in it."""
    ca = grid.authority()
    ada, server = ca.issue(grid.person("Ada")), ca.issue(grid.name(("CN", "voms.example.org")))
    said = grid.Attributes(fqans=("/physics/Role=NULL/Capability=NULL", "/physics/muons"), ends=1800)
    extension = grid.in_proxy(grid.attribute_certificate(ada.certificate, server, said))
    found = read_proxy(grid.proxy(ada, extension=extension).pem())
    assert found.attributes == said.fqans
    assert found.ends == pytest.approx(time.time() + 1800, abs=60)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        proxy(NOON)[:700],
        proxy(NOON, other_key=True),
        "\u2713",
    ],
)
def test_what_is_no_proxy(text: str) -> None:
    """Half a file, another's key, no key: the sentence says what was expected and nothing of what there was."""
    with pytest.raises(InvalidInput, match="expected (certificates and a private key|the key of its first)") as caught:
        read_proxy(text)
    assert "BEGIN" not in str(caught.value)


def test_what_its_certificates_say() -> None:
    """The same without a look at its key, which costs a hundred times as much; what has no certificates is no proxy."""
    good = proxy(NOON)
    assert certified(good) == read_proxy(good)
    assert certified(proxy(NOON, other_key=True)).subject == "CN=1234,CN=Ada Example"
    for text in ("", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\u2713"):
        with pytest.raises(InvalidInput, match="expected certificates"):
            certified(text)


def test_a_token_that_tells_its_end() -> None:
    """A JSON web token's own end is believed; what is no such token has none."""
    assert ends_by_itself("bearer", {"token": token({"exp": NOON})}) == NOON
    for silent in ("opaque", "a.b.c", token([]), token({}), token({"exp": "soon"}), token({"exp": True})):
        assert ends_by_itself("bearer", {"token": silent}) is None
    assert ends_by_itself("text", {"text": "anything"}) is None
    assert ends_by_itself("x509-proxy", {"proxy": proxy(NOON)}) == NOON
