"""The embedded central's own certificates: a long-lived authority, and short-lived server certificates from it.

What is shipped to clients and nodes carries the authority (`ca.pem`), so the server's certificate may change at any
time. The authority may sign only for the names that the central had when it was made.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from central.trust.seal import write_secret
from pilot.errors import PilotageError

CA_YEARS = 20
#: A node's clock may be behind: certificates are good from a while before they were made.
_BACKDATED = datetime.timedelta(days=1)
#: Renewed when less than this part of its life is left.
RENEW_AT = 0.5
#: The names by which a program on this machine may call.
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_LOCAL_NETWORKS = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class Authority:
    """The certificate that signs, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def covers(self, name: str) -> bool:
        """Whether it may sign for this host name or address."""
        constraints = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        permitted = [subtree.value for subtree in constraints.permitted_subtrees or ()]
        address = _address(name)
        if address is not None:
            return any(address in network for network in permitted if not isinstance(network, str))
        return any(name == known or name.endswith(f".{known}") for known in permitted if isinstance(known, str))


def make_authority(names: Sequence[str], now: datetime.datetime) -> Authority:
    """Make a new authority (P-256) that may sign for these host names and addresses, and for local ones."""
    key = ec.generate_private_key(ec.SECP256R1())
    permitted: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_network(network)) for network in _LOCAL_NETWORKS]
    for name in dict.fromkeys((*names, *LOCAL_NAMES)):
        address = _address(name)
        if address is None:
            permitted.append(x509.DNSName(name))
        elif not address.is_loopback:
            permitted.append(x509.IPAddress(ipaddress.ip_network(address)))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pilotage authority")])
    usage = _key_usage(signs=True)
    certificate = (
        _builder(subject, subject, key, now, datetime.timedelta(days=CA_YEARS * 365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def issue(authority: Authority, names: Sequence[str], seconds: float, now: datetime.datetime) -> bytes:
    """Make a server certificate for these names. Returns key and certificate as PEM, to be kept secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    addresses = [(name, _address(name)) for name in dict.fromkeys(names)]
    general = [x509.DNSName(name) if address is None else x509.IPAddress(address) for name, address in addresses]
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    usage = _key_usage(signs=False)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pilotage central")])
    certificate = (
        _builder(subject, authority.certificate.subject, key, now, datetime.timedelta(seconds=seconds))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def wants_renewal(certificate: x509.Certificate, names: Sequence[str], seconds: float, now: datetime.datetime) -> bool:
    """Whether a server certificate is too old, lacks a name, or lives longer than it should."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return True
    held = {str(name.value) for name in found}
    left = (certificate.not_valid_after_utc - now).total_seconds()
    return not held.issuperset(names) or not RENEW_AT * seconds < left <= seconds


@dataclass(frozen=True)
class Certificates:
    """The files of one central: where they are, whom they speak for, and how long a server certificate lives."""

    folder: Path
    host: str  # of the public address: must be covered
    names: tuple[str, ...]  # further names, left out where the authority may not sign for them
    life: float  # seconds

    @property
    def authority_file(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def server_file(self) -> Path:
        return self.folder / "private" / "server.pem"

    def make(self, now: datetime.datetime) -> bool:
        """Make the authority where there is none. Returns whether it did."""
        key_file = self.folder / "private" / "ca.key"
        if self.authority_file.exists() and key_file.exists():
            return False
        authority = make_authority((self.host, *self.names), now)
        write_secret(key_file, _key_pem(authority.key))
        self.authority_file.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        return True

    def refresh(self, now: datetime.datetime) -> bool:
        """See to it that the server's certificate is good for a while. Returns whether there is a new one."""
        authority = self._authority()
        if not authority.covers(self.host):
            raise PilotageError(
                f"{self.authority_file}: this authority may not sign for {self.host}, the host of `central.url`. Put"
                f" the old host back, or remove ca.pem and private/ca.key and run init again; pilots and clients that"
                f" carry the old ca.pem can then no longer call"
            )
        names = [name for name in dict.fromkeys((self.host, *LOCAL_NAMES, *self.names)) if authority.covers(name)]
        if self.server_file.exists():
            current = x509.load_pem_x509_certificate(self.server_file.read_bytes())
            ours = current.issuer == authority.certificate.subject and _signed_by(current, authority)
            if ours and not wants_renewal(current, names, self.life, now):
                return False
        write_secret(self.server_file, issue(authority, names, self.life, now))
        return True

    def context(self) -> ssl.SSLContext:
        """What the server shows to those who call. `load` puts a newer certificate into it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.load(context)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """From now on, new connections see the certificate that is in the file."""
        context.load_cert_chain(self.server_file)

    def _authority(self) -> Authority:
        try:
            certificate = x509.load_pem_x509_certificate(self.authority_file.read_bytes())
            key_bytes = (self.folder / "private" / "ca.key").read_bytes()
            key = serialization.load_pem_private_key(key_bytes, None)
        except (OSError, ValueError) as error:
            raise PilotageError(f"{self.folder}: the authority cannot be read ({error}); `init` makes one") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PilotageError(f"{self.folder}/private/ca.key: expected a key on the curve P-256")
        return Authority(certificate, key)


def _signed_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001 - the library raises several kinds, all of which mean no
        return False
    return True


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _BACKDATED).not_valid_after(now + life)


def _key_usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
