"""Logins with certificates at this central: what the settings say, put to work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from central.configuration.certificates import CertificateLogin, certificates_url
from central.configuration.settings import Community, Service, Site
from central.login import certificates
from central.login.mapping import Said
from central.login.voms import Trust, trust_of
from central.people import MemberRow
from pilot.errors import PilotageError


@dataclass(frozen=True)
class Known:
    """What one login says: who it is, for how many seconds, and which memberships of that user it ends."""

    said: Said
    life: float
    subject: str
    issuer: str
    outdated: Callable[[Sequence[MemberRow]], Sequence[MemberRow]]


class CertificateLogins:
    """Logins by the authorities and the VOMS servers that the settings name. `url`: where clients find the port."""

    def __init__(self, login: CertificateLogin, url: str, trust: Trust) -> None:
        self.login = login
        self.url = url
        self._trust = trust

    def known(
        self, chain: Sequence[bytes], communities: Sequence[Community], sites: Sequence[Site], now: float
    ) -> Known:
        """Whom a verified chain is of. Reads files. Raises ``unauthorized`` or ``forbidden``."""
        shown = certificates.shown(chain)
        attested = certificates.attested(shown, self._trust, now)
        life = certificates.life(self.login, shown, attested, now)
        said = certificates.read(self.login, shown, attested, communities, sites)
        return Known(
            said,
            life,
            shown.subject,
            shown.issuer,
            lambda rows: certificates.outdated(self.login, rows, attested, said.places),
        )


def open_certificate_logins(login: CertificateLogin, service: Service, folder: Path) -> CertificateLogins:
    """As the settings say. Raises `PilotageError` where nobody could ever log in."""
    login = login.inside(folder)
    where = Path(login.cafile or login.capath)
    if not (where.is_file() if login.cafile else where.is_dir()):
        raise PilotageError(f"{where}, where [certificates] has its authorities, is not there")
    if login.crls and login.capath and not any(where.glob("*.r[0-9]*")):
        raise PilotageError(
            f"{where} has no revocation lists (HASH.r0), so that nobody could log in: run fetch-crl, or say"
            " `crls = false` in [certificates] of central.toml"
        )
    host = urlsplit(service.url).hostname or "localhost"
    return CertificateLogins(login, certificates_url(service.url, login), trust_of(login, (host,)))
