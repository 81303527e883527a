"""Logins with certificates at this central: what the settings say, put to work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from central.configuration.certificates import CertificateLogin, certificates_url
from central.configuration.settings import Community, Service, Site
from central.login import certificates, chains
from central.login.mapping import Said
from central.login.voms import Trust, trust_of
from central.people import MemberRow
from pilot.errors import PilotageError

#: Logins that are looked at at the same time. Each reads revocation lists; the others wait their turn.
AT_ONCE = 2


@dataclass(frozen=True)
class Known:
    """What one login says: who it is, for how many seconds, and which memberships of that user it ends."""

    said: Said
    life: float
    subject: str
    issuer: str
    outdated: Callable[[Sequence[MemberRow]], Sequence[MemberRow]]


class CertificateLogins:
    """Logins by the authorities and the VOMS servers that the settings name. `url`: where clients find the port;
    `trust`: whom to believe in one login."""

    def __init__(self, login: CertificateLogin, url: str, trust: Callable[[], Trust]) -> None:
        self.login = login
        self.url = url
        self._trust = trust
        self._threads = ThreadPoolExecutor(AT_ONCE, "certificates")

    async def known(
        self, chain: Sequence[bytes], communities: Sequence[Community], sites: Sequence[Site], now: float
    ) -> Known:
        """Whom a chain is of that a handshake has verified, and nothing in it is revoked. Raises ``unauthorized`` or
        ``forbidden``. Who is cancelled before their turn has it no more."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._known, chain, communities, sites, now)

    def _known(
        self, chain: Sequence[bytes], communities: Sequence[Community], sites: Sequence[Site], now: float
    ) -> Known:
        shown = certificates.shown(chain)
        chains.check_revoked(self.login, [x509.load_der_x509_certificate(one) for one in chain])
        attested = certificates.attested(shown, self._trust(), now)
        life = certificates.life(self.login, shown, attested, now)
        said = certificates.read(self.login, shown, attested, communities, sites)
        return Known(
            said,
            life,
            shown.subject,
            shown.issuer,
            lambda rows: certificates.outdated(self.login, rows, attested, said),
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
    return CertificateLogins(login, certificates_url(service.url, login), lambda: trust_of(login, (host,)))
