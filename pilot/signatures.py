"""Signed requests: HTTP Message Signatures (RFC 9421) with ``hmac-sha256``, over method, target, body and token.

The session key is 32 bytes known to one pilot and, sealed inside its token, to the central. A signature covers
``@method``, ``@request-target``, ``content-digest`` (RFC 9530) and ``authorization``; `created` bounds its age and a
random `nonce` tells a retry, which is a new message, from a captured request sent again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pilot.errors import Refusal

LABEL = "pilotage"
ALGORITHM = "hmac-sha256"
COVERED = ("@method", "@request-target", "content-digest", "authorization")
#: Seconds that a signature may be away from the central's clock, both ways.
MAX_AGE = 60

_COMPONENTS = "(" + " ".join(f'"{name}"' for name in COVERED) + ")"
_PARAMETER = re.compile(r';(?P<name>[a-z]+)=(?:"(?P<text>[A-Za-z0-9_.:/-]{1,128})"|(?P<number>\d{1,12}))')
_SIGNATURE = re.compile(re.escape(LABEL) + r"=:(?P<value>[A-Za-z0-9+/=]{44}):")


@dataclass(frozen=True)
class Signed:
    """What the signature headers of one request say, not yet verified."""

    created: int  # seconds since the epoch, by the signer's clock
    nonce: str
    keyid: str  # the pilot's stamp
    signature: bytes
    parameters: str


def content_digest(body: bytes) -> str:
    """The Content-Digest header of a body."""
    return "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"


def _mac(key: bytes, method: str, target: str, digest: str, authorization: str, parameters: str) -> bytes:
    values = (method, target, digest, authorization)
    lines = [f'"{name}": {value}' for name, value in zip(COVERED, values)]
    lines.append(f'"@signature-params": {parameters}')
    return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).digest()


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
    parameters = _parameters(headers.get("signature-input", ""))
    value = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if not value or parameters.get("alg") != ALGORITHM or not parameters.keys() >= {"created", "nonce", "keyid"}:
        raise Refusal(
            "bad-signature",
            f"expected a signature {LABEL}, {ALGORITHM} over {', '.join(COVERED)}, with created, nonce and keyid",
        )
    return Signed(
        created=int(parameters["created"]),
        nonce=parameters["nonce"],
        keyid=parameters["keyid"],
        signature=base64.b64decode(value["value"]),
        parameters=headers["signature-input"][len(LABEL) + 1 :],
    )


def _parameters(header: str) -> dict[str, str]:
    """The parameters of our signature, in whatever order; empty when it covers anything else than it must."""
    opening = f"{LABEL}={_COMPONENTS}"
    if not header.startswith(opening) or len(header) > 1024:
        return {}
    found: dict[str, str] = {}
    at = len(opening)
    while at < len(header):
        parameter = _PARAMETER.match(header, at)
        if not parameter or parameter["name"] in found:
            return {}
        found[parameter["name"]] = parameter["text"] or parameter["number"]
        at = parameter.end()
    return found if found.get("created", "").isdigit() else {}


def verify(
    signed: Signed, key: bytes, method: str, target: str, body: bytes, headers: Mapping[str, str], *, now: float
) -> None:
    """Check a request against its signature. Raises the refusal ``bad-signature`` or ``clock-skew``."""
    digest = headers.get("content-digest", "")
    if not hmac.compare_digest(digest, content_digest(body)):
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
