"""What people read of communities, groups, members and API tokens, and say to them.

Times are seconds since the epoch; where a community or a group is not said in a request, the caller's own is meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from pilot.protocol import VERSION

#: What a token may be made for, each by itself; `docs/people.md` says what each opens.
SCOPES = ("read", "submit", "change", "secrets", "manage")
#: What a token is made for unless more, or less, is asked for: a person's work with jobs.
USUAL_SCOPES = ("read", "submit", "change")
#: Seconds that a token is good for unless said otherwise, and the bounds of what may be said.
USUAL_LIFE, LEAST_LIFE, MOST_LIFE = 90 * 86400, 60, 366 * 86400


@dataclass(frozen=True)
class GroupView:
    """A group of a community, and its share of what the community is due."""

    name: str
    share: float
    members: int = 0
    declared: bool = True  # by central.toml; else somebody has added it
    who: str = ""  # who added it, or changed it last
    changed: Optional[float] = None


@dataclass(frozen=True)
class CommunityView:
    """`GET /v1/communities/{name}`: a community, its share of all capacity, and its groups."""

    name: str
    share: float
    groups: tuple[GroupView, ...]
    declared: bool = True
    who: str = ""
    changed: Optional[float] = None
    problem: str = ""  # why what was added under this name does not count


@dataclass(frozen=True)
class CommunityPage:
    """`GET /v1/communities`: those that the caller may see, by name."""

    communities: tuple[CommunityView, ...]


@dataclass(frozen=True)
class AddRequest:
    """`POST /v1/communities` and `POST /v1/communities/{name}/groups`: a new name, and its share."""

    name: str
    share: float = 1.0
    version: int = VERSION


@dataclass(frozen=True)
class ShareRequest:
    """`POST /v1/communities/{name}/share` and the same of a group."""

    share: float
    version: int = VERSION


@dataclass(frozen=True)
class MemberView:
    """Who may work in a group, in which role, and who said so; or who is the admin of a site."""

    user: str
    community: str
    group: str
    role: str
    declared: bool = False  # by a token in central.toml
    who: str = ""
    created: Optional[float] = None
    revoked: Optional[float] = None
    revoked_by: str = ""
    reason: str = ""
    site: str = ""  # else community and group are empty


@dataclass(frozen=True)
class MemberPage:
    """`GET /v1/members`: those that the caller may see, by community, group, site and user."""

    members: tuple[MemberView, ...]


@dataclass(frozen=True)
class MemberRequest:
    """`POST /v1/members`: let somebody into a group; `POST /v1/members/role`: change the role there.

    With a site it is the site's admin that somebody becomes: then nothing else is said but the user.
    """

    user: str
    group: str = ""
    role: str = ""  # empty: member, or with a site its only role, site-admin
    community: str = ""
    site: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class RevokeRequest:
    """`POST /v1/members/revoke`: take memberships back, of one group or of all that the caller may; or of one site.

    Jobs that wait are held; what runs goes on, unless `kill`.
    """

    user: str
    group: str = ""
    community: str = ""
    kill: bool = False
    reason: str = ""
    site: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class RevokeReply:
    """What became of it."""

    members: tuple[MemberView, ...]  # that are none any more
    tokens: int  # that ended with it
    held: int  # jobs
    killed: int
    still: tuple[MemberView, ...] = ()  # what central.toml declares for this user, which goes on


@dataclass(frozen=True)
class TokenView:
    """An API token, without the token."""

    number: int
    name: str
    user: str
    community: str
    group: str
    role: str
    scopes: tuple[str, ...]
    who: str  # made it
    created: float
    expires: float
    used: Optional[float] = None  # roughly
    revoked: Optional[float] = None
    revoked_by: str = ""
    parent: Optional[int] = None  # the token that it was made with: it ends with that one
    problem: str = ""  # why it is not good although it was not revoked
    site: str = ""


@dataclass(frozen=True)
class TokenPage:
    """`GET /v1/tokens`: those that the caller may see, the newest first."""

    tokens: tuple[TokenView, ...]


@dataclass(frozen=True)
class TokenRequest:
    """`POST /v1/tokens`: an API token for oneself, or for somebody whom the caller may let in."""

    name: str = ""
    scopes: tuple[str, ...] = USUAL_SCOPES
    seconds: int = USUAL_LIFE
    user: str = ""
    community: str = ""
    group: str = ""
    role: str = ""  # the most that it may do; empty: member
    site: str = ""  # for a site's admin: then neither community nor group
    version: int = VERSION


@dataclass(frozen=True)
class MadeToken:
    """The one time that the token is told."""

    token: str = field(repr=False)
    made: TokenView
