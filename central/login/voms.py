"""Whether a VOMS attribute certificate counts: whose it is, who signed it, until when, for whom.

The server's chain is looked at by OpenSSL, with the same authorities and revocation lists as the people's; the
signature by the library `cryptography`. What is to be so of which server is in the files that every site of the grid
has: ``vomsdir/VO/HOST.lsc``, the names of the server's certificate and of its authority.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from central.configuration.certificates import CertificateLogin
from central.login.attributes import UNREADABLE, AttributeCertificate, Unsound
from central.login.chains import Authorities, Untrusted
from central.login.names import written

#: Seconds that clocks may differ by.
LEEWAY = 60
#: Bytes of a file of names, bits of an RSA key at least.
MOST_READ, LEAST_RSA = 64 * 1024, 2048
#: Signatures that count: kind of key, and digest.
_RSA = {"11": hashes.SHA256, "12": hashes.SHA384, "13": hashes.SHA512}
_EC = {"2": hashes.SHA256, "3": hashes.SHA384, "4": hashes.SHA512}
ALGORITHMS: dict[str, tuple[type, Callable[[], hashes.HashAlgorithm]]] = {
    **{f"1.2.840.113549.1.1.{number}": (rsa.RSAPublicKey, digest) for number, digest in _RSA.items()},
    **{f"1.2.840.10045.4.3.{number}": (ec.EllipticCurvePublicKey, digest) for number, digest in _EC.items()},
}
#: Digests that certificates of servers and of authorities below the trusted one may be signed with.
_DIGESTS = ("sha256", "sha384", "sha512")
#: The certificates up to a trusted one, the given one first. Raises `Unsound`.
Chain = Callable[[Sequence[x509.Certificate]], Sequence[x509.Certificate]]
#: The chains of names that a VO's server may have, by VO and host.
Names = Callable[[str, str], Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Trust:
    """Whom a central believes. `hosts`: what it is called itself."""

    names: Names
    chain: Chain
    hosts: tuple[str, ...]


def verify(found: AttributeCertificate, holder: x509.Certificate, trust: Trust, now: float) -> None:
    """See that it counts for the owner of a certificate. Raises `Unsound`."""
    try:
        _verify(found, holder, trust, now)
    except UNREADABLE as error:  # parts of the server's certificate are read when they are looked at first
        raise Unsound("is by a server whose certificate cannot be read") from error


def _verify(found: AttributeCertificate, holder: x509.Certificate, trust: Trust, now: float) -> None:
    # Servers write the holder's own name where the issuer's belongs; either goes with the serial number alone.
    if found.serial != holder.serial_number or found.holder not in (_der(holder.issuer), _der(holder.subject)):
        raise Unsound("was given to another certificate")
    if found.begins > now + LEEWAY:
        raise Unsound("is not good yet")
    if found.ends <= now:
        raise Unsound("has ended")
    if found.targets is not None and not set(found.targets) & set(trust.hosts):
        raise Unsound(f"is meant for other hosts: {', '.join(found.targets[:5])}")
    server = found.certificates[0]
    if found.issuer != _der(server.subject):
        raise Unsound("is by another server than the one whose certificate it carries")
    _known(found, trust)
    _signed(found, server)


def _der(name: x509.Name) -> bytes:
    return name.public_bytes()


def _known(found: AttributeCertificate, trust: Trust) -> None:
    """That its server is one of its VO. Raises `Unsound`."""
    expected = trust.names(found.vo, found.host)
    if not expected:
        raise Unsound(f"is of {found.host}, which is not known here as a server of the VO {found.vo}")
    chain = trust.chain(found.certificates)
    try:
        names = [written(chain[0].subject), *(written(one.issuer) for one in chain)]
    except UNREADABLE as error:
        raise Unsound(f"is by a server with {error}") from error
    if not any(list(lines) == names[: len(lines)] for lines in expected):
        raise Unsound(f"is signed by {names[0]} of {names[1]}, which is no server of the VO {found.vo}")


def _signed(found: AttributeCertificate, server: x509.Certificate) -> None:
    """That its server signed it. Raises `Unsound`."""
    kind, digest = ALGORITHMS.get(found.algorithm, (None, None))
    try:
        key = server.public_key()
        if kind is None or digest is None or not isinstance(key, kind):
            raise Unsound(f"is signed with {found.algorithm}, which does not count here")
        if isinstance(key, rsa.RSAPublicKey):
            if key.key_size < LEAST_RSA:
                raise Unsound(f"is signed with a key of {key.key_size} bits; expected {LEAST_RSA} at least")
            key.verify(found.signature, found.signed, padding.PKCS1v15(), digest())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(found.signature, found.signed, ec.ECDSA(digest()))
    except (InvalidSignature, *UNREADABLE) as error:
        raise Unsound("has a signature that its server did not make") from error


# -- what lies on this machine -----------------------------------------------------------------------------------------
def trust_of(login: CertificateLogin, hosts: Sequence[str]) -> Trust:
    """As the settings say. For one login: what lies there is read as it is then."""
    authorities = Authorities(login)
    return Trust(
        lambda vo, host: _lines(Path(login.vomsdir) / vo / f"{host}.lsc"),
        lambda certificates: _chain(authorities, certificates),
        tuple(host.lower() for host in hosts),
    )


def _lines(path: Path) -> list[list[str]]:
    """The chains of names in a file; none where there is no file. Raises `Unsound`."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MOST_READ)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise Unsound(f"cannot be looked at: {path.name} of {path.parent.name} cannot be read ({error})") from error
    chains: list[list[str]] = [[]]
    for line in map(str.strip, text.splitlines()):
        if line.startswith("-"):  # ------ NEXT CHAIN ------
            chains.append([])
        elif line.startswith("/"):
            chains[-1].append(line)
    return [chain for chain in chains if len(chain) > 1]


def _chain(authorities: Authorities, certificates: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
    try:
        chain = authorities.verified(certificates)
    except Untrusted as error:
        raise Unsound(f"is by a server whose certificate {error}") from error
    for one in chain[:-1]:
        digest = one.signature_hash_algorithm
        if digest is None or digest.name not in _DIGESTS:
            raise Unsound(f"is by a server whose certificates are signed with {digest.name if digest else 'no digest'}")
    return chain
