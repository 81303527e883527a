"""Grid proxies for tests: a certificate, one on top of it, and something that looks like VOMS attributes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from central.trust.expiry import VOMS


def proxy(ends: float, below: float | None = None, attributes: bytes = b"", *, other_key: bool = False) -> str:
    """PEM of a proxy that ends at `ends` (seconds since the epoch), on a certificate that ends at `below`.

    `attributes` is what its VOMS extension holds.
    """
    user_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    user = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ada Example")])
    name = x509.Name([*user, x509.NameAttribute(x509.NameOID.COMMON_NAME, "1234")])
    certificate = _certificate(user, user, user_key, user_key, below or ends + 3600)
    top = _certificate(name, user, key, user_key, ends, attributes)
    shown = user_key if other_key else key
    return "".join(
        part.decode()
        for part in (
            top.public_bytes(Encoding.PEM),
            shown.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
            certificate.public_bytes(Encoding.PEM),
        )
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    ends: float,
    attributes: bytes = b"",
) -> x509.Certificate:
    end = datetime.fromtimestamp(ends, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=1))
        .not_valid_after(end)
    )
    if attributes:
        builder = builder.add_extension(x509.UnrecognizedExtension(VOMS, attributes), critical=False)
    return builder.sign(signer, hashes.SHA256())
