"""How people log in with X.509 certificates and VOMS attributes: the section ``[certificates]`` of the settings.

`central/configuration/settings_certificates.py` reads it, `central/login/` does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from central.configuration.login import LoginRule
from pilot.people import SCOPES

#: Where machines of the grid have the authorities that they trust, and the VOMS servers.
AUTHORITIES, VOMSDIR = "/etc/grid-security/certificates", "/etc/grid-security/vomsdir"


@dataclass(frozen=True)
class CertificateRule(LoginRule):
    """Whoever has such a VOMS attribute is let in; with an issuer, whoever has such a subject from that authority."""

    issuer: str = ""


@dataclass(frozen=True)
class Named:
    """The user that the owner of a certificate is here. Names as OpenSSL writes them in one line."""

    subject: str
    issuer: str
    user: str


@dataclass(frozen=True)
class CertificateLogin:
    """A second port, whose callers show certificates, and what these are worth here."""

    port: int
    rules: tuple[CertificateRule, ...]
    people: tuple[Named, ...] = ()
    capath: str = AUTHORITIES  # a folder with hashed names; this and the next two: relative to the folder or absolute
    cafile: str = ""  # instead of that folder: one file with all of them
    vomsdir: str = VOMSDIR
    crls: bool = True  # every authority must have a list of what it has revoked, that is good now
    strict: bool = False  # what OpenSSL calls strict: many certificates that are in use do not pass
    life: int = 12 * 3600  # seconds, of the token that is given, at most
    token_scopes: tuple[str, ...] = SCOPES  # what it opens

    def inside(self, folder: Path) -> CertificateLogin:
        """The same with files that lie in the central's folder unless they say where."""
        return replace(
            self,
            capath="" if self.cafile else str(folder / self.capath),
            cafile=str(folder / self.cafile) if self.cafile else "",
            vomsdir=str(folder / self.vomsdir),
        )


def certificates_url(service_url: str, login: CertificateLogin) -> str:
    """Where clients find the port: at the host of the central."""
    host = urlsplit(service_url).hostname or "localhost"
    return f"https://{f'[{host}]' if ':' in host else host}:{login.port}"
