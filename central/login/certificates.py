"""What a certificate and the proxies on it mean here: whose they are, which VOMS attributes count, where that lets in.

The chain has been verified by OpenSSL when it comes here: signatures, times, names and lengths of proxies are right;
whether anything in it is revoked is for `central/login/chains.py`. What is left is what OpenSSL does not know: a proxy
may say that it is for less than its owner's login.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from central.configuration.certificates import CertificateLogin, CertificateRule
from central.configuration.settings import Community, Site
from central.login import attributes, mapping, names, voms
from central.login.attributes import UNREADABLE, Unsound
from central.login.mapping import Said, located
from central.people import CERTIFICATE_GIVER, MemberRow
from pilot.errors import Refusal

PROXY, VOMS = ObjectIdentifier("1.3.6.1.5.5.7.1.14"), ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
#: The policy of a proxy that is to be taken for its owner in all things.
INHERIT_ALL = ObjectIdentifier("1.3.6.1.5.5.7.21.1")
LIMITED = ObjectIdentifier("1.3.6.1.4.1.3536.1.1.1.9")


@dataclass(frozen=True)
class Shown:
    """Whom a chain is of, until when it is good, and the attribute certificates in it, which are not looked at yet."""

    owner: x509.Certificate
    subject: str
    issuer: str
    ends: float
    extension: bytes | None


@dataclass(frozen=True)
class Attested:
    """The VOMS attributes that count, of which VOs, until when; and why others do not."""

    fqans: tuple[str, ...] = ()
    vos: tuple[str, ...] = ()
    ends: float | None = None
    problems: tuple[str, ...] = ()


@asn1.sequence
class _Policy:
    language: ObjectIdentifier
    policy: bytes | None


@asn1.sequence
class _ProxyInformation:
    path_length: int | None
    policy: _Policy


def shown(chain: Sequence[bytes]) -> Shown:
    """Read a verified chain, DER, the caller's own certificate first. Raises ``unauthorized`` or ``forbidden``."""
    if not chain:
        raise Refusal("unauthorized", "this connection shows no certificate")
    try:
        return _shown([x509.load_der_x509_certificate(one) for one in chain])
    except UNREADABLE as error:
        said = str(error) if str(error).startswith("a name") else "something that cannot be read"
        raise Refusal("forbidden", f"nobody can log in with this certificate: it has {said}") from error


def _shown(chain: Sequence[x509.Certificate]) -> Shown:
    extension: bytes | None = None
    for depth, one in enumerate(chain):
        held = {field.oid: field.value for field in one.extensions}
        information = held.get(PROXY)
        if information is None:
            ends = min(each.not_valid_after_utc.timestamp() for each in chain[: depth + 1])
            return Shown(one, names.written(one.subject), names.written(one.issuer), ends, extension)
        _admit(asn1.decode_der(_ProxyInformation, _raw(information)).policy.language)
        if extension is None and VOMS in held:  # what was put on top takes the place of what is below
            extension = _raw(held[VOMS])
    raise ValueError("nothing but proxies")


def _raw(value: x509.ExtensionType) -> bytes:
    return value.value if isinstance(value, x509.UnrecognizedExtension) else value.public_bytes()


def _admit(policy: ObjectIdentifier) -> None:
    if policy == LIMITED:
        raise Refusal("forbidden", "this is a limited proxy, which may not log in: make one without -limited")
    if policy != INHERIT_ALL:
        raise Refusal("forbidden", f"this is a proxy of the policy {policy.dotted_string}, which may not log in")


def attested(found: Shown, trust: voms.Trust, now: float) -> Attested:
    """Look at the attribute certificates, each by itself."""
    if found.extension is None:
        return Attested()
    problems: list[str] = []
    good: list[attributes.AttributeCertificate] = []
    try:
        split = attributes.split(found.extension)
    except Unsound as error:
        return Attested(problems=(str(error),))
    for der in split:
        try:
            one = attributes.read(der)
            voms.verify(one, found.owner, trust, now)
        except Unsound as error:
            problems.append(str(error))
        else:
            good.append(one)
    return Attested(
        fqans=tuple(dict.fromkeys(fqan for one in good for fqan in one.fqans)),
        vos=tuple(dict.fromkeys(one.vo for one in good)),
        ends=min((one.ends for one in good), default=None),
        problems=tuple(problems),
    )


# -- what that means here ----------------------------------------------------------------------------------------------
def read(
    login: CertificateLogin,
    found: Shown,
    voms: Attested,
    communities: Sequence[Community],
    sites: Sequence[Site],
) -> Said:
    """Who somebody is, and where that lets them in."""
    user = _user(login, found)
    places = mapping.places(user, login.rules, lambda rule: _means(rule, found, voms), communities, sites)
    said = f"attributes {', '.join(voms.fqans[:10])}" if voms.fqans else "no VOMS attributes that count"
    why = f"the certificate of {found.subject} by {found.issuer} has {said}"
    for problem in voms.problems[:3]:
        why += f" (an attribute certificate in the proxy {problem})"
    return Said(user, places, why)


def _user(login: CertificateLogin, found: Shown) -> str:
    for one in login.people:
        if (one.subject, one.issuer) == (found.subject, found.issuer):
            return one.user
    return names.user_of(found.owner.subject, found.owner.issuer)


def _means(rule: CertificateRule, found: Shown, voms: Attested) -> bool:
    if rule.issuer:
        return rule.issuer == found.issuer and mapping.fits(rule, found.subject)
    return any(mapping.fits(rule, fqan) for fqan in voms.fqans)


def outdated(login: CertificateLogin, rows: Sequence[MemberRow], voms: Attested, said: Said) -> tuple[MemberRow, ...]:
    """Memberships of one user that such a login gave, and that this one shows to be no more.

    A proxy tells all groups of the VOs that it has attributes of, roles only where they were asked for, and of other
    VOs and other certificates of the same user nothing: what could still be so is left.
    """
    borne = set(map(located, said.places))
    open_still = {located(rule) for rule in login.rules if not _decided(login, rule, said.user, voms)}
    given = (row for row in rows if row.who == CERTIFICATE_GIVER and row.revoked is None)
    return tuple(row for row in given if located(row) not in borne | open_still)


def _decided(login: CertificateLogin, rule: CertificateRule, user: str, voms: Attested) -> bool:
    """Whether a login says for certain whether a rule is about its user."""
    if rule.issuer:  # which may be about another certificate of the same user
        own = (one for one in login.people if (one.user, one.issuer) == (user, rule.issuer))
        return not any(mapping.fits(rule, one.subject) for one in own)
    group, role, _ = rule.value.partition("/Role=")
    if not role:
        return _vo(rule) in voms.vos
    of_group = replace(rule, value=group)  # who has left the group has its roles no more
    left = not any(mapping.fits(of_group, fqan.partition("/Role=")[0]) for fqan in voms.fqans)
    return _vo(rule) in voms.vos and left


def _vo(rule: CertificateRule) -> str:
    return rule.value.split("/")[1]


def life(login: CertificateLogin, found: Shown, voms: Attested, now: float) -> float:
    """Seconds that a token is good for: no longer than what it was given for. Raises ``unauthorized``."""
    left = min(found.ends, found.ends if voms.ends is None else voms.ends) - now
    if left <= 0:
        raise Refusal("unauthorized", "this certificate or proxy has ended")
    return min(float(login.life), left)
