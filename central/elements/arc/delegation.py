"""Delegation of an X.509 credential: the computing element makes a key, and we sign a proxy for it (RFC 3820).

What jobs do in our name they do with that proxy, so it is renewed for as long as there are jobs that have it.
"""

from __future__ import annotations

import base64
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from central.elements.arc.client import Client
from central.elements.arc.credentials import Credential
from central.elements.port import ComputingError, Trouble

log = logging.getLogger(__name__)

#: Seconds that a delegated proxy lives at most, where what signs it lives longer.
LIFE = 24 * 3600.0
#: Seconds by which clocks may differ.
SKEW = 300
#: Seconds by which a renewal must lengthen a delegation to be worth it.
WORTH = 60.0
PROXY_CERT_INFO = ObjectIdentifier("1.3.6.1.5.5.7.1.14")
# ProxyCertInfo ::= SEQUENCE { proxyPolicy SEQUENCE { policyLanguage OBJECT IDENTIFIER } }, in DER.
_INHERIT_ALL = bytes.fromhex("06082b06010505071501")  # 1.3.6.1.5.5.7.21.1
_LIMITED = bytes.fromhex("060a2b060104019b50010109")  # 1.3.6.1.4.1.3536.1.1.1.9


def possible(credential: Credential, now: float) -> float:
    """Until when a proxy could be delegated, seconds since the epoch."""
    return min(now + LIFE, credential.ends or now)


def due(until: float | None, could: float, now: float) -> bool:
    """Whether to renew a delegation that ends at `until` (None: it is not known when), when one could now be had that
    ends at `could`: once less than half of that is left."""
    return until is None or (until - now < (could - now) / 2 and could > until + WORTH)


def sign(request: bytes, credential: Credential, now: float) -> bytes:
    """The proxy for the key in a certificate request, with the certificates that it was signed by, in PEM.

    Raises `ComputingError` where the request or our credential is not good for it.
    """
    try:
        asked = requested_key(request)
        chain = x509.load_pem_x509_certificates(credential.pem)
        key = serialization.load_pem_private_key(credential.pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise ComputingError(f"no proxy can be delegated: {error!r}", Trouble.CREDENTIAL) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ComputingError("no proxy can be delegated: our key is neither RSA nor EC", Trouble.CREDENTIAL)
    ours = chain[0]
    serial = secrets.randbits(63)
    own_name = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, str(serial))])
    began = max(ours.not_valid_before_utc, datetime.fromtimestamp(now - SKEW, UTC))
    proxy = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*ours.subject.rdns, own_name]))
        .issuer_name(ours.subject)
        .public_key(asked)
        .serial_number(serial)
        .not_valid_before(began)
        .not_valid_after(datetime.fromtimestamp(int(possible(credential, now)), UTC))
        .add_extension(x509.UnrecognizedExtension(PROXY_CERT_INFO, _policy(ours)), critical=True)
        .add_extension(_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in (proxy, *chain))


def requested_key(request: bytes) -> rsa.RSAPublicKey:
    """The key in a certificate request in PEM, whose owner has signed it with that key.

    ARC calls the version of its requests 3, and there is but one, which is 1. They are read as if they said so, and
    their signature is checked over what they did say. Raises `ValueError` or `InvalidSignature`.
    """
    der = bytearray(base64.b64decode(b"".join(line for line in request.splitlines() if b"-----" not in line)))
    version = _inside(der, _inside(der, 0))
    if der[version : version + 2] != b"\x02\x01":
        raise ValueError("this is no certificate request")
    said, der[version + 2] = der[version + 2], 0
    read = x509.load_der_x509_csr(bytes(der))
    signed = bytearray(read.tbs_certrequest_bytes)
    signed[_inside(signed, 0) + 2] = said
    key, digest = read.public_key(), read.signature_hash_algorithm
    if not isinstance(key, rsa.RSAPublicKey) or digest is None:
        raise ValueError("expected a certificate request for an RSA key")
    key.verify(read.signature, bytes(signed), padding.PKCS1v15(), digest)
    return key


def _inside(der: bytes | bytearray, start: int) -> int:
    """Where the content of what starts there begins."""
    if len(der) < start + 10:
        raise ValueError("this is no certificate request")
    length = der[start + 1]
    return start + 2 + (length & 0x7F if length > 0x7F else 0)


def _policy(ours: x509.Certificate) -> bytes:
    """What the new proxy may do: all that ours may, which is less where ours is a limited one."""
    try:
        limited = _LIMITED in ours.extensions.get_extension_for_oid(PROXY_CERT_INFO).value.public_bytes()
    except x509.ExtensionNotFound:
        limited = False
    language = _LIMITED if limited else _INHERIT_ALL
    inner = bytes((0x30, len(language))) + language
    return bytes((0x30, len(inner))) + inner


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        data_encipherment=True,
        content_commitment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


class Delegations:
    """Those of one queue at its computing element."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self.client = client
        self.clock = clock
        self.until: dict[str, float] = {}  # of each that was signed here
        self._of_jobs: dict[str, tuple[str, ...]] = {}
        self._newest = ""
        self._lock = threading.Lock()

    def for_new_jobs(self) -> str:
        """One that is good for long enough. Raises `ComputingError`."""
        with self._lock:
            return self._for_new_jobs()

    def _for_new_jobs(self) -> str:
        credential, now = self.client.credential(), self.clock()
        if not self._newest:
            self._newest, request = self.client.new_delegation()
            self._put(self._newest, request, credential, now)
        elif due(self.until.get(self._newest), possible(credential, now), now):
            self._renew(self._newest, credential, now)
        return self._newest

    def keep(self, jobs: Iterable[str]) -> None:
        """Renew what these jobs of ours have, as far as it is due. What cannot be renewed is told, and tried again."""
        with self._lock:
            self._keep(jobs)

    def _keep(self, jobs: Iterable[str]) -> None:
        live = set(jobs)
        self._of_jobs = {job: ids for job, ids in self._of_jobs.items() if job in live}
        try:
            if strange := sorted(live - self._of_jobs.keys()):
                self._of_jobs |= self.client.delegations_of(strange)
            credential, now = self.client.credential(), self.clock()
        except ComputingError as error:
            log.warning("Whether delegations must be renewed cannot be told: %s", error)
            return
        used = {delegation for ids in self._of_jobs.values() for delegation in ids}
        for delegation in sorted(used):
            if due(self.until.get(delegation), possible(credential, now), now):
                try:
                    self._renew(delegation, credential, now)
                except ComputingError as error:
                    log.warning("Delegation %s could not be renewed: %s", delegation, error)

    def _renew(self, delegation: str, credential: Credential, now: float) -> None:
        try:
            request = self.client.renew_delegation(delegation)
        except ComputingError:
            if delegation == self._newest:
                self._newest = ""  # it may be gone there: the next jobs get another
            raise
        self._put(delegation, request, credential, now)

    def _put(self, delegation: str, request: bytes, credential: Credential, now: float) -> None:
        signed = sign(request, credential, now)
        self.client.put_delegation(delegation, signed)
        self.until[delegation] = x509.load_pem_x509_certificate(signed).not_valid_after_utc.timestamp()
