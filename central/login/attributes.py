"""VOMS attribute certificates (RFC 5755) as they lie in a proxy: read strictly, as DER, and not believed yet.

`central/login/voms.py` says whether one counts. Forms have a fixed depth, so that nothing can be nested without end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Annotated, Literal, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

#: Bytes of all that a proxy carries, attribute certificates in it; attributes and certificates in each of these.
MOST_BYTES, MOST_EACH, MOST_ATTRIBUTES, MOST_CERTIFICATES = 128 * 1024, 10, 500, 10
#: What they are made of.
ATTRIBUTES = ObjectIdentifier("1.3.6.1.4.1.8005.100.100.4")
CERTIFICATES = ObjectIdentifier("1.3.6.1.4.1.8005.100.100.10")
TAGS = ObjectIdentifier("1.3.6.1.4.1.8005.100.100.11")
NO_REVOCATION, KEY, TARGETS = (ObjectIdentifier(f"2.5.29.{number}") for number in (56, 35, 55))
_KNOWN = (CERTIFICATES, TAGS, NO_REVOCATION, KEY, TARGETS)
#: A VO, and a host; the name of a file is made of either.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_AUTHORITY = re.compile(rf"({_NAME})://({_NAME}):[0-9]{{1,5}}")
_FQAN = re.compile(
    rf"(?P<group>/(?P<vo>{_NAME})(/[A-Za-z0-9._-]+)*)(/Role=(?P<role>[A-Za-z0-9._-]+))?(/Capability=NULL)?"
)
#: What `cryptography` says of bytes that are not what they should be.
UNREADABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
T = TypeVar("T")


class Unsound(Exception):
    """An attribute certificate counts for nothing; the message says why, as `it …`."""


@dataclass(frozen=True)
class AttributeCertificate:
    """What one says. Names are DER, times seconds since the epoch."""

    signed: bytes
    algorithm: str
    signature: bytes
    holder: bytes
    serial: int  # of the holder's certificate
    issuer: bytes
    begins: float
    ends: float
    vo: str
    host: str
    fqans: tuple[str, ...]
    certificates: tuple[x509.Certificate, ...]  # the server's own first
    targets: tuple[str, ...] | None  # hosts that it is meant for; None: for all


def split(extension: bytes) -> tuple[bytes, ...]:
    """The attribute certificates in the extension of a proxy. Raises `Unsound` for what is none."""
    if len(extension) > MOST_BYTES:
        raise Unsound(f"has more than {MOST_BYTES} bytes")
    found = _decoded(_Extension, extension).certificates
    if not 1 <= len(found) <= MOST_EACH:
        raise Unsound(f"is {len(found)} attribute certificates; from 1 to {MOST_EACH} are read")
    return tuple(asn1.encode_der(one) for one in found)


def read(der: bytes) -> AttributeCertificate:
    """One of them. Raises `Unsound`."""
    whole = _decoded(_Whole, der)
    signed = asn1.encode_der(whole.body)
    body = _decoded(_Body, signed)
    if body.version != 1 or body.algorithm.algorithm != whole.algorithm.algorithm:
        raise Unsound("is of another version, or says two algorithms of its signature")
    if body.holder.base is None or body.holder.entity is not None or body.holder.digest is not None:
        raise Unsound("does not name its holder by a certificate alone")
    if body.issuer.names is None or body.issuer.base is not None or body.issuer.digest is not None:
        raise Unsound("does not name its server alone")
    if whole.signature.padding_bits():
        raise Unsound("has a signature that is no whole bytes")
    extensions = _extensions(body.extensions or [])
    vo, host, fqans = _attributes(body.attributes)
    return AttributeCertificate(
        signed=signed,
        algorithm=whole.algorithm.algorithm.dotted_string,
        signature=whole.signature.as_bytes(),
        holder=_one_name(body.holder.base.issuer),
        serial=body.holder.base.serial,
        issuer=_one_name(body.issuer.names),
        begins=body.validity.begins.as_datetime().replace(tzinfo=UTC).timestamp(),
        ends=body.validity.ends.as_datetime().replace(tzinfo=UTC).timestamp(),
        vo=vo,
        host=host,
        fqans=fqans,
        certificates=_certificates(extensions.get(CERTIFICATES)),
        targets=_targets(extensions[TARGETS]) if TARGETS in extensions else None,
    )


# -- the forms ---------------------------------------------------------------------------------------------------------
@asn1.sequence
class _Algorithm:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Whole:
    body: asn1.TLV
    algorithm: _Algorithm
    signature: asn1.BitString


@asn1.sequence
class _Extension:
    certificates: list[_Whole]


@asn1.sequence
class _Base:
    issuer: list[Annotated[asn1.TLV, asn1.Explicit(4)]]
    serial: int


@asn1.sequence
class _Holder:
    base: Annotated[_Base | None, asn1.Implicit(0)]
    entity: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    digest: Annotated[list[asn1.TLV] | None, asn1.Implicit(2)]


@asn1.sequence
class _Issuer:
    names: list[Annotated[asn1.TLV, asn1.Explicit(4)]] | None
    base: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    digest: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _Validity:
    begins: asn1.GeneralizedTime
    ends: asn1.GeneralizedTime


@asn1.sequence
class _Attribute:
    kind: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Field:
    kind: ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class _Body:
    version: int
    holder: _Holder
    issuer: Annotated[_Issuer, asn1.Implicit(0)]
    algorithm: _Algorithm
    serial: int
    validity: _Validity
    attributes: list[_Attribute]
    unique: asn1.BitString | None
    extensions: list[_Field] | None


@asn1.sequence
class _Syntax:
    authority: Annotated[list[Annotated[asn1.IA5String, asn1.Implicit(6)]], asn1.Implicit(0)]
    values: list[bytes]


@asn1.sequence
class _Certificates:
    certificates: list[x509.Certificate]


_Host = (
    Annotated[asn1.Variant[asn1.IA5String, Literal["dns"]], asn1.Implicit(2)]
    | Annotated[asn1.Variant[asn1.IA5String, Literal["uri"]], asn1.Implicit(6)]
)


@asn1.sequence
class _Targets:
    targets: list[Annotated[_Host, asn1.Explicit(0)]]


# -- what they say -----------------------------------------------------------------------------------------------------
def _decoded(form: type[T], der: bytes) -> T:
    try:
        return asn1.decode_der(form, der)
    except UNREADABLE as error:
        raise Unsound("cannot be read") from error


def _one_name(names: Sequence[asn1.TLV]) -> bytes:
    if len(names) != 1:
        raise Unsound("has several names where one is expected")
    return asn1.encode_der(names[0])


def _extensions(fields: Sequence[_Field]) -> dict[ObjectIdentifier, bytes]:
    found: dict[ObjectIdentifier, bytes] = {}
    for field in fields:
        if field.kind in found:
            raise Unsound(f"has the extension {field.kind.dotted_string} twice")
        if field.critical and field.kind not in _KNOWN:
            raise Unsound(f"has the critical extension {field.kind.dotted_string}, which is not known here")
        found[field.kind] = field.value
    if NO_REVOCATION not in found:
        raise Unsound("may have been revoked (it does not say noRevAvail), and nobody here could know")
    return found


def _attributes(attributes: Sequence[_Attribute]) -> tuple[str, str, tuple[str, ...]]:
    """The VO, the host of its server, and the FQANs as rules write them."""
    values = [value for one in attributes if one.kind == ATTRIBUTES for value in one.values.as_list()]
    if len(values) != 1:
        raise Unsound(f"has {len(values)} sets of VOMS attributes; one is expected")
    syntax = _decoded(_Syntax, asn1.encode_der(values[0]))
    said = [one.as_str() for one in syntax.authority]
    found = _AUTHORITY.fullmatch(said[0]) if len(said) == 1 else None
    if found is None:
        raise Unsound("does not name its VO and its server as VO://HOST:PORT")
    if len(syntax.values) > MOST_ATTRIBUTES:
        raise Unsound(f"has {len(syntax.values)} attributes; {MOST_ATTRIBUTES} are read")
    vo, host = found[1], found[2].lower()
    return vo, host, tuple(dict.fromkeys(_fqan(value, vo) for value in syntax.values))


def _fqan(value: bytes, vo: str) -> str:
    """An attribute without what means nothing: ``/Role=NULL``, ``/Capability=NULL``."""
    said = value[:200].decode("ascii", "replace")
    found = _FQAN.fullmatch(said) if len(value) <= 200 else None
    if found is None:
        raise Unsound(f"has an attribute that is none: {said!r}")
    if found["vo"] != vo:
        raise Unsound(f"is of the VO {vo} and has an attribute of another: {said!r}")
    role = found["role"]
    return found["group"] if role in (None, "NULL") else f"{found['group']}/Role={role}"


def _certificates(extension: bytes | None) -> tuple[x509.Certificate, ...]:
    if extension is None:
        raise Unsound("does not carry its server's certificate")
    found = _decoded(_Certificates, extension).certificates
    if not 1 <= len(found) <= MOST_CERTIFICATES:
        raise Unsound(f"carries {len(found)} certificates of its server; from 1 to {MOST_CERTIFICATES} are read")
    return tuple(found)


def _targets(extension: bytes) -> tuple[str, ...]:
    hosts = [one.value.as_str().lower() for one in _decoded(_Targets, extension).targets]
    return tuple(host.partition("://")[2].partition("/")[0] or host for host in hosts)
