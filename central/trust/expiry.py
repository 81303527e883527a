"""When a credential ends by what it says of itself: X.509 proxies, with their VOMS attributes, and JSON web tokens."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from pilot.errors import InvalidInput

#: Seconds before its end at which a credential is an alarm: long enough for a person to act in office hours.
ALARM = 12 * 3600.0
#: The extension of a proxy that holds VOMS attribute certificates.
VOMS = x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
_TIME = re.compile(rb"\x18\x0f(\d{14})Z")
#: An OCTET STRING with an attribute; what else is in there are addresses.
_ATTRIBUTE = re.compile(rb"\x04([\x02-\x7f])(?=(/[A-Za-z0-9._=/-]+))")


@dataclass(frozen=True)
class Proxy:
    """What an X.509 proxy says of itself. Seconds since the epoch."""

    subject: str
    begins: float
    ends: float  # of the certificate, of those that it stands on, or of its attributes, whichever is first
    attributes: tuple[str, ...] = ()  # as /atlas/Role=pilot, as far as they can be read


def ends_soon(began: float | None, ends: float, now: float) -> bool:
    """Whether it is time for another one; of one that lives for a short time, in its last quarter."""
    return ends - now <= (ALARM if began is None else min(ALARM, (ends - began) / 4))


def ends_by_itself(kind: str, values: Mapping[str, str]) -> float | None:
    """The end of a credential's validity, None where it does not tell. Raises `InvalidInput` where it is not what its
    kind says."""
    if kind == "x509-proxy":
        return read_proxy(values["proxy"]).ends
    return _end_of_token(values["token"]) if kind == "bearer" else None


def read_proxy(text: str) -> Proxy:
    """Read a proxy: its certificate, its key, and the chain below it. Raises `InvalidInput`."""
    try:
        chain = x509.load_pem_x509_certificates(text.encode("ascii"))
        key = load_pem_private_key(_key(text), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unreadable() from None  # without the cause, which could quote what it read
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if chain[0].public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise InvalidInput("values.proxy", "expected the key of its first certificate, got another")
    return _told(chain)


def certified(text: str) -> Proxy:
    """What the certificates of a proxy say, at a hundredth of the cost: nobody looks at its key. Raises
    `InvalidInput`."""
    try:
        return _told(x509.load_pem_x509_certificates(text.encode("ascii")))
    except (ValueError, TypeError):
        raise _unreadable() from None


def _unreadable() -> InvalidInput:
    return InvalidInput("values.proxy", "expected certificates and a private key without a password, as PEM")


def _told(chain: Sequence[x509.Certificate]) -> Proxy:
    attributes, ends = _voms(chain[0])
    return Proxy(
        subject=chain[0].subject.rfc4514_string(),
        begins=max(each.not_valid_before_utc.timestamp() for each in chain),
        ends=min((*ends, *(each.not_valid_after_utc.timestamp() for each in chain))),
        attributes=attributes,
    )


def _key(text: str) -> bytes:
    found = re.search(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", text, re.DOTALL)
    if found is None:
        raise ValueError("there is no key in it")
    return found[0].encode("ascii")


def _voms(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Attributes, and when they end. Whoever takes the proxy checks them; here they are only told."""
    for extension in certificate.extensions:
        if extension.oid == VOMS and isinstance(extension.value, x509.UnrecognizedExtension):
            der = extension.value.value
            times = [
                datetime.strptime(each.decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC) for each in _TIME.findall(der)
            ]
            found = [(size[0], text) for size, text in _ATTRIBUTE.findall(der)]
            names = dict.fromkeys(text[:size].decode() for size, text in found if len(text) >= size)
            # A validity is two times: from, and to.
            return tuple(names), tuple(time.timestamp() for time in times[1:2])
    return (), ()


def _end_of_token(token: str) -> float | None:
    """What a JSON web token says of its end; other tokens say nothing that we could read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    ends = claims.get("exp") if isinstance(claims, dict) else None
    return float(ends) if isinstance(ends, (int, float)) and not isinstance(ends, bool) and 0 < ends < 1e11 else None
