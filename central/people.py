"""Who may work here: memberships and API tokens that admins have given while the central runs, as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

#: Who gives and takes back memberships at logins: no user can be called so.
GIVER = "(login)"
#: The same at logins with certificates, which know nothing of what others give.
CERTIFICATE_GIVER = "(certificate)"


class Placed(Protocol):
    """Whatever belongs to a group, or to a site."""

    @property
    def group(self) -> str: ...

    @property
    def site(self) -> str: ...


@dataclass(frozen=True)
class NewMember:
    """Somebody who is let into a group, or whose role in it is another from now on; or who is a site's admin."""

    user: str
    community: str
    group: str
    role: str
    who: str  # gives it
    site: str = ""  # else community and group are empty


@dataclass(frozen=True)
class MemberRow:
    """A membership as stored, or that somebody is a site's admin. One that was taken back stays, with who did that and
    why."""

    id: int
    user: str
    community: str
    group: str
    role: str
    who: str
    created: float
    revoked: float | None = None
    revoked_by: str = ""
    reason: str = ""
    site: str = ""


@dataclass(frozen=True)
class NewToken:
    """An API token to be kept. The token itself is kept nowhere."""

    sha256: str
    name: str  # what its owner calls it
    user: str
    community: str
    group: str
    role: str  # the most that it may do
    scopes: tuple[str, ...]
    seconds: float  # for which it is good
    who: str  # makes it
    parent: int | None = None  # the token that it was made with: it goes when that one goes
    site: str = ""


@dataclass(frozen=True)
class TokenRow:
    """An API token as stored. Times are seconds since the epoch."""

    id: int
    sha256: str
    name: str
    user: str
    community: str
    group: str
    role: str
    scopes: tuple[str, ...]
    who: str
    parent: int | None
    created: float
    expires: float
    used: float | None = None  # roughly; None: never
    revoked: float | None = None
    revoked_by: str = ""
    site: str = ""


@dataclass(frozen=True)
class Whose:
    """Whose memberships or tokens are meant; None: anybody's."""

    community: str | None = None
    group: str | None = None
    user: str | None = None
    site: str | None = None

    def covers(self, community: str, group: str, user: str, site: str = "") -> bool:
        """Whether what somebody has in a group, or at a site, is meant."""
        place = self.community in (None, community) and self.group in (None, group) and self.site in (None, site)
        return place and self.user in (None, user)


@dataclass(frozen=True)
class SiteAdmins:
    """All admins of a site: what one of them has stopped there, any of them may start again."""

    site: str
    users: frozenset[str]


def place_of(whose: Placed) -> str:
    """Where somebody belongs, as the audit says it."""
    return f"site {whose.site}" if whose.site else f"group {whose.group}"


@dataclass(frozen=True)
class Sender:
    """For whom the bytes of a file count: a user, or whoever owns a job."""

    user: str = ""
    job: int | None = None


#: They count for nobody.
NOBODY = Sender()
