"""Signed requests: HTTP Message Signatures (RFC 9421) with ``hmac-sha256``, over method, target, body and token.

The session key is 32 bytes known to one pilot and, sealed inside its token, to the central. A signature covers
``@method``, ``@request-target``, ``content-digest`` (RFC 9530) and ``authorization``; `created` bounds its age and a
random `nonce` tells a retry, which is a new message, from a captured request sent again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Optional

from pilot.errors import Refusal

LABEL = "pilotage"
ALGORITHM = "hmac-sha256"
COVERED = ("@method", "@request-target", "content-digest", "authorization")
#: Seconds that a signature may be away from the central's clock, both ways.
MAX_AGE = 60

_COMPONENTS = "(" + " ".join(f'"{name}"' for name in COVERED) + ")"
_OPENING = f"{LABEL}={_COMPONENTS}"
_SIGNED = "\n".join(f'"{name}": %s' for name in (*COVERED, "@signature-params"))
_TEXT = "[A-Za-z0-9_.:/-]{1,128}"
_PARAMETER = re.compile(rf';(?P<name>[a-z]+)=(?:"(?P<text>{_TEXT})"|(?P<number>\d{{1,12}}))')
# The parameters as `sign` writes them: understood at once.
_USUAL = re.compile(rf';created=([0-9]{{1,12}});nonce="({_TEXT})";keyid="({_TEXT})";alg="{ALGORITHM}"')
_SIGNATURE = re.compile(re.escape(LABEL) + r"=:(?P<value>[A-Za-z0-9+/=]{44}):")
#: Session keys of which the beginning of a signature is kept.
_KEYS = 4096


class Signed(NamedTuple):
    """What the signature headers of one request say, not yet verified."""

    created: int  # seconds since the epoch, by the signer's clock
    nonce: str
    keyid: str  # the pilot's stamp
    signature: bytes
    parameters: str


def content_digest(body: bytes) -> str:
    """The Content-Digest header of a body."""
    return f"sha-256=:{binascii.b2a_base64(hashlib.sha256(body).digest(), newline=False).decode()}:"


@lru_cache(maxsize=_KEYS)
def _begun(key: bytes) -> hmac.HMAC:
    """The beginning of every signature with a key, to be copied: the half of the work that is always the same."""
    return hmac.new(key, digestmod=hashlib.sha256)


def _mac(key: bytes, method: str, target: str, digest: str, authorization: str, parameters: str) -> bytes:
    mac = _begun(key).copy()
    mac.update((_SIGNED % (method, target, digest, authorization, parameters)).encode())
    return mac.digest()


def sign(
    key: bytes, method: str, target: str, body: bytes, authorization: str, *, keyid: str, created: int, nonce: str
) -> dict[str, str]:
    """Return the headers that sign a request. `target` is path and query as sent; `nonce` must be new each time."""
    digest = content_digest(body)
    parameters = f'{_COMPONENTS};created={created};nonce="{nonce}";keyid="{keyid}";alg="{ALGORITHM}"'
    mac = _mac(key, method, target, digest, authorization, parameters)
    return {
        "Authorization": authorization,
        "Content-Digest": digest,
        "Signature-Input": f"{LABEL}={parameters}",
        "Signature": f"{LABEL}=:{base64.b64encode(mac).decode()}:",
    }


def read(headers: Mapping[str, str]) -> Signed:
    """Take the signature headers apart; names are lower case. Raises the refusal ``bad-signature``."""
    header = headers.get("signature-input", "")
    said = _parameters(header)
    value = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if not value or not said:
        raise Refusal(
            "bad-signature",
            f"expected a signature {LABEL}, {ALGORITHM} over {', '.join(COVERED)}, with created, nonce and keyid",
        )
    created, nonce, keyid = said
    return Signed(int(created), nonce, keyid, base64.b64decode(value["value"]), header[len(LABEL) + 1 :])


def _parameters(header: str) -> Optional[tuple[str, str, str]]:
    """Created, nonce and keyid of our signature; None when one is missing, or it is of anything else than it must."""
    if not header.startswith(_OPENING) or len(header) > 1024:
        return None
    usual = _USUAL.fullmatch(header, len(_OPENING))
    if usual:
        return usual[1], usual[2], usual[3]
    found = _in_any_order(header)
    if not found.keys() >= {"created", "nonce", "keyid"} or found.get("alg") != ALGORITHM:
        return None
    if not found["created"].isdigit():
        return None
    return found["created"], found["nonce"], found["keyid"]


def _in_any_order(header: str) -> dict[str, str]:
    """The parameters behind the components; empty when they are not well-formed, or one comes twice."""
    found: dict[str, str] = {}
    at = len(_OPENING)
    while at < len(header):
        parameter = _PARAMETER.match(header, at)
        if not parameter or parameter["name"] in found:
            return {}
        found[parameter["name"]] = parameter["text"] or parameter["number"]
        at = parameter.end()
    return found


def verify(
    signed: Signed, key: bytes, method: str, target: str, body: bytes, headers: Mapping[str, str], *, now: float
) -> None:
    """Check a request against its signature. Raises the refusal ``bad-signature`` or ``clock-skew``."""
    digest = headers.get("content-digest", "")
    if digest != content_digest(body):  # no secret, and `compare_digest` refuses letters beyond ASCII
        raise Refusal("bad-signature", "the Content-Digest header does not fit the body")
    mac = _mac(key, method, target, digest, headers.get("authorization", ""), signed.parameters)
    if not hmac.compare_digest(mac, signed.signature):
        raise Refusal("bad-signature", "the signature does not fit the request")
    if abs(now - signed.created) > MAX_AGE:
        raise Refusal(
            "clock-skew",
            f"the signature was made at {signed.created}, the central's time is {int(now)}, {MAX_AGE} s are allowed",
            server_time=now,
        )
