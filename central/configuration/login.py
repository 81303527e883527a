"""How people log in with an identity provider: the section ``[login]`` of the settings.

`central/configuration/settings_login.py` reads it, `central/login/` does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pilot.people import SCOPES


@dataclass(frozen=True)
class LoginRule:
    """Whoever has such a value in the claim is let into a group, in a role; or is the admin of a site."""

    value: str  # exactly; with `*` for any characters
    community: str
    group: str
    role: str = "member"
    site: str = ""  # else community and group are empty, and the role is that of its admins


@dataclass(frozen=True)
class Login:
    """An OpenID Connect provider, and what its word is worth here."""

    issuer: str
    client_id: str
    rules: tuple[LoginRule, ...]
    secret_file: str = ""  # with the client's secret, relative to the folder or absolute; empty: a public client
    scopes: tuple[str, ...] = ("openid", "profile")
    user: str = "sub"  # the claim that names the user
    claim: str = "groups"  # the claim that the rules are about
    userinfo: bool = False  # whether the provider says more at its userinfo endpoint than in the ID token
    life: int = 12 * 3600  # seconds, of the token that is given
    token_scopes: tuple[str, ...] = SCOPES  # what it opens
    ca: str = ""  # certificates that the provider's is trusted by, as `secret_file`; empty: the system's
    loopback_http: bool = False  # for tests: the provider may be on this machine, without TLS

    def inside(self, folder: Path) -> Login:
        """The same with files that lie in the central's folder unless they say where."""
        return replace(self, secret_file=_inside(folder, self.secret_file), ca=_inside(folder, self.ca))


def _inside(folder: Path, file: str) -> str:
    return str(folder / file) if file else ""
