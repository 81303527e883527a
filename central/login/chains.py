"""Chains of certificates as OpenSSL verifies them: up to an authority of the settings, with lists of what was revoked.

Everything is read anew for each login, as it lies there. OpenSSL reads lists before it looks at signatures, and one
list may have tens of thousands of entries: whatever comes from outside is looked at here in a thread, and never by a
handshake, which anybody can begin.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from OpenSSL.crypto import X509, Error, X509Store, X509StoreContext, X509StoreContextError, X509StoreFlags

from central.configuration.certificates import CertificateLogin
from central.login.attributes import UNREADABLE
from central.login.names import written
from pilot.errors import Refusal

#: What OpenSSL calls a certificate that was revoked, and what it has against lists (``x509_vfy.h``).
_REVOKED = 23
_LISTS = {3: "is missing here", 11: "is not good yet", 12: "is out of date"}


class Untrusted(Exception):
    """A chain that does not verify. `code` and `depth`: what OpenSSL has against which certificate."""

    def __init__(self, said: str, code: int = 0, depth: int = 0) -> None:
        super().__init__(said)
        self.code = code
        self.depth = depth


class Authorities:
    """The authorities of the settings and their lists, for one login: each is read once, when it is needed first."""

    def __init__(self, login: CertificateLogin, *, proxies: bool = False) -> None:
        self._login = login
        self._proxies = proxies
        self._store: X509Store | None = None

    def verified(self, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
        """The chain from the first of these up to an authority. Reads files. Raises `Untrusted`."""
        try:
            self._store = self._store or _store(self._login, self._proxies)
            given = [X509.from_cryptography(one) for one in certificates]
            context = X509StoreContext(self._store, given[0], chain=given[1:])
            return [one.to_cryptography() for one in context.get_verified_chain()]
        except X509StoreContextError as error:
            code, depth, *_ = error.errors
            raise Untrusted(f"is not trusted here: {error}", code, depth) from error
        except (Error, *UNREADABLE) as error:
            raise Untrusted(f"cannot be looked at ({type(error).__name__})") from error


def _store(login: CertificateLogin, proxies: bool) -> X509Store:
    store = X509Store()
    if login.crls:
        store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)
    if login.strict:
        store.set_flags(X509StoreFlags.X509_STRICT)
    if proxies:
        store.set_flags(X509StoreFlags.ALLOW_PROXY_CERTS)
    store.load_locations(login.cafile or None, login.capath or None)
    return store


def check_revoked(login: CertificateLogin, chain: Sequence[x509.Certificate]) -> None:
    """See that nothing is revoked in a chain that a handshake has verified. Reads files. Raises ``forbidden``."""
    if not login.crls:
        return
    try:
        Authorities(login, proxies=True).verified(chain)
    except Untrusted as error:
        raise Refusal("forbidden", _told(error, chain[min(error.depth, len(chain) - 1)])) from error


def _told(error: Untrusted, about: x509.Certificate) -> str:
    subject, issuer = _name(about.subject), _name(about.issuer)
    if error.code == _REVOKED:
        return f"the certificate of {subject} by {issuer} has been revoked: ask that authority for another"
    if error.code in _LISTS:
        return (
            f"nobody can log in with a certificate of {issuer}: that authority's revocation list {_LISTS[error.code]}"
            f" ({error.__cause__}); tell whoever runs this central"
        )
    return f"the certificate of {subject} by {issuer} {error}"


def _name(name: x509.Name) -> str:
    try:
        return written(name)
    except UNREADABLE:  # of an authority: nobody is called so here
        return name.rfc4514_string()
