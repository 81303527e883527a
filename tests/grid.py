"""A grid for tests: authorities, people with certificates, proxies on these, and VOMS attributes in proxies.

Attribute certificates are written here byte by byte, and not with what reads them, so that any part can be wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL.crypto import X509

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
HOUR = 3600.0
INHERIT_ALL, INDEPENDENT, LIMITED = "1.3.6.1.5.5.7.21.1", "1.3.6.1.5.5.7.21.2", "1.3.6.1.4.1.3536.1.1.1.9"
PROXY, VOMS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"), x509.ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
ECDSA_SHA256, RSA_SHA256, RSA_SHA1 = "1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.5"
CERTIFICATES, NO_REVOCATION, TARGETS = "1.3.6.1.4.1.8005.100.100.10", "2.5.29.56", "2.5.29.55"


# -- certificates ------------------------------------------------------------------------------------------------------
def name(*parts: tuple[str, str]) -> x509.Name:
    """A name of such parts, as ``("CN", "Ada")``."""
    known = {
        "DC": NameOID.DOMAIN_COMPONENT,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "CN": NameOID.COMMON_NAME,
    }
    return x509.Name([x509.NameAttribute(known[kind], value) for kind, value in parts])


def person(common: str) -> x509.Name:
    return name(("DC", "org"), ("DC", "example"), ("OU", "people"), ("CN", common))


@dataclass(frozen=True)
class Owned:
    """A certificate with its key, and what it stands on up to the authority, which is not part of it."""

    certificate: x509.Certificate
    key: Key
    below: tuple[x509.Certificate, ...] = ()

    def pem(self) -> str:
        """As a proxy's file has it: certificate, key, chain."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        parts = [self.certificate.public_bytes(Encoding.PEM), key]
        return b"".join((*parts, *(one.public_bytes(Encoding.PEM) for one in self.below))).decode()

    def write(self, path: Path) -> Path:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.pem())
        return path

    def chain(self, authority: Authority) -> tuple[bytes, ...]:
        """As a handshake has verified it."""
        whole = (self.certificate, *self.below, authority.certificate)
        return tuple(one.public_bytes(Encoding.DER) for one in whole)


@dataclass(frozen=True)
class Authority:
    """Signs certificates, and lists those that it has revoked."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issue(
        self,
        subject: x509.Name,
        ends: float = 10 * HOUR,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        extension: bytes | None = None,
        key: Key | None = None,
        serial: int | None = None,
    ) -> Owned:
        """A certificate that ends so many seconds from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self.certificate.subject, key, ends, serial)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if extension is not None:
            builder = builder.add_extension(x509.UnrecognizedExtension(VOMS, extension), critical=False)
        return Owned(builder.sign(self.key, hashes.SHA256()), key)

    def hash(self) -> str:
        """What its files are called in a folder that OpenSSL looks into."""
        return f"{X509.from_cryptography(self.certificate).subject_name_hash():08x}"

    def delegate(self, common: str) -> Authority:
        """An authority below this one."""
        subject, key = name(("DC", "org"), ("DC", "example"), ("CN", common)), ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self.certificate.subject, key, 100 * HOUR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return Authority(builder.sign(self.key, hashes.SHA256()), key)

    def trust(
        self, folder: Path, revoked: Sequence[x509.Certificate] = (), crl: bool = True, fresh_for: float = 24 * HOUR
    ) -> None:
        """Put it where OpenSSL looks for it, with its list of what is revoked."""
        folder.mkdir(parents=True, exist_ok=True)
        called = self.hash()
        (folder / f"{called}.0").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        now = datetime.now(UTC)
        made = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        made = made.last_update(now - timedelta(hours=1)).next_update(now + timedelta(seconds=fresh_for))
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number)
            made = made.add_revoked_certificate(entry.revocation_date(now - timedelta(minutes=1)).build())
        if crl:
            (folder / f"{called}.r0").write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))


def read(path: Path) -> Owned:
    """What a proxy's file has."""
    content = path.read_bytes()
    certificate, *below = x509.load_pem_x509_certificates(content)
    key = load_pem_private_key(re.findall(rb"-----BEGIN [A-Z ]*KEY.*?KEY-----", content, re.DOTALL)[0], None)
    assert isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    return Owned(certificate, key, tuple(below))


def authority(common: str = "Grid CA") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = name(("DC", "org"), ("DC", "example"), ("CN", common))
    builder = _builder(subject, subject, key, 100 * HOUR)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def proxy(
    of: Owned,
    ends: float = HOUR,
    policy: str = INHERIT_ALL,
    path_length: int | None = None,
    extension: bytes | None = None,
    subject: x509.Name | None = None,
) -> Owned:
    """A proxy on a certificate or on another proxy, by RFC 3820; `extension` is what its VOMS extension holds."""
    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    issuer = of.certificate.subject
    subject = subject or x509.Name([*issuer.rdns, *name(("CN", str(number))).rdns])
    length = b"" if path_length is None else asn1.encode_der(path_length)
    information = tlv(0x30, length, tlv(0x30, oid(policy)))
    builder = _builder(subject, issuer, key, ends, number)
    builder = builder.add_extension(x509.UnrecognizedExtension(PROXY, information), critical=True)
    builder = builder.add_extension(_usage(), critical=True)
    if extension is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(VOMS, extension), critical=False)
    return Owned(builder.sign(of.key, hashes.SHA256()), key, (of.certificate, *of.below))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, ends: float, serial: int | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(serial or x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(days=2)).not_valid_after(now + timedelta(seconds=ends))


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(True, *[False] * 8)


# -- VOMS attributes ---------------------------------------------------------------------------------------------------
def tlv(tag: int, *parts: bytes) -> bytes:
    """One value of ASN.1."""
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def oid(dotted: str) -> bytes:
    return asn1.encode_der(x509.ObjectIdentifier(dotted))


def extension_field(dotted: str, value: bytes, critical: bool = False) -> bytes:
    return tlv(0x30, oid(dotted), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


@dataclass(frozen=True)
class Attributes:
    """What an attribute certificate says, as it should be; each may be wrong."""

    fqans: tuple[str, ...] = ("/physics", "/physics/muons")
    authority: str = "physics://voms.example.org:15000"
    begins: float = -60.0  # seconds from now
    ends: float = HOUR
    version: int = 1
    holder: x509.Name | None = None
    serial: int | None = None
    issuer: x509.Name | None = None
    algorithm: str = ECDSA_SHA256  # inside
    algorithm_outside: str | None = None
    signer: Key | None = None
    certificates: tuple[x509.Certificate, ...] | None = None
    revocable: bool = False
    targets: tuple[str, ...] | None = None
    more: tuple[bytes, ...] = ()  # extension fields
    attributes: bytes | None = None  # instead of the one that there is


PLAIN = Attributes()


def attribute_certificate(holder: x509.Certificate, server: Owned, said: Attributes = PLAIN) -> bytes:
    """One, given to the owner of a certificate by a server."""
    inside = _algorithm(said.algorithm)
    body = tlv(
        0x30,
        asn1.encode_der(said.version),
        tlv(
            0x30, tlv(0xA0, _names(said.holder or holder.issuer), asn1.encode_der(said.serial or holder.serial_number))
        ),
        tlv(0xA0, _names(said.issuer or server.certificate.subject)),
        inside,
        asn1.encode_der(7),
        tlv(0x30, _time(said.begins), _time(said.ends)),
        tlv(0x30, said.attributes if said.attributes is not None else _attributes(said)),
        tlv(0x30, *_extensions(said, server)),
    )
    outside = _algorithm(said.algorithm_outside) if said.algorithm_outside else inside
    return tlv(0x30, body, outside, tlv(0x03, b"\0", _signature(said, said.signer or server.key, body)))


def in_proxy(*certificates: bytes) -> bytes:
    """What the extension of a proxy holds."""
    return tlv(0x30, tlv(0x30, *certificates))


def _algorithm(dotted: str) -> bytes:
    return tlv(0x30, oid(dotted), b"\x05\x00" if dotted.startswith("1.2.840.113549") else b"")


def _names(one: x509.Name) -> bytes:
    return tlv(0x30, tlv(0xA4, one.public_bytes()))


def _time(seconds: float) -> bytes:
    return tlv(0x18, (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y%m%d%H%M%SZ").encode())


def _attributes(said: Attributes) -> bytes:
    values = tlv(0x30, *(tlv(0x04, fqan.encode()) for fqan in said.fqans))
    syntax = tlv(0x30, tlv(0xA0, tlv(0x86, said.authority.encode())), values)
    return tlv(0x30, oid("1.3.6.1.4.1.8005.100.100.4"), tlv(0x31, syntax))


def _extensions(said: Attributes, server: Owned) -> list[bytes]:
    shown = (server.certificate, *server.below) if said.certificates is None else said.certificates
    held = tlv(0x30, tlv(0x30, *(one.public_bytes(Encoding.DER) for one in shown)))
    found = [extension_field(CERTIFICATES, held), *said.more]
    if not said.revocable:
        found.append(extension_field(NO_REVOCATION, b"\x05\x00"))
    if said.targets is not None:
        listed = (tlv(0xA0, tlv(0x86, target.encode())) for target in said.targets)
        found.append(extension_field(TARGETS, tlv(0x30, tlv(0x30, *listed)), critical=True))
    return found


def _signature(said: Attributes, key: Key, body: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(body, ec.ECDSA(hashes.SHA256()))
    digest = hashes.SHA1() if said.algorithm == RSA_SHA1 else hashes.SHA256()
    return key.sign(body, padding.PKCS1v15(), digest)
