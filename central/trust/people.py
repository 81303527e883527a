"""Who may work here now: those whom the settings declare, and those whom admins have let in, with their tokens; in
groups, and as admins of sites.

Every central has all of it in memory, so that nobody waits for the store to be known; what another central changes is
heard, and read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from central.configuration.settings import ROLES, SITE_ADMIN, ApiToken, Community, Site
from central.people import MemberRow, TokenRow, Whose
from central.records import Identity
from central.trust.rules import Scope, TokenCaller, at_most, least
from pilot.errors import Refusal

#: Seconds between two notes of when a token was used: what people are shown is as rough as that.
ROUGHLY = 3600.0
#: user, community, group, site: either the two in the middle are said, or the last.
Place = tuple[str, str, str, str]


@dataclass(frozen=True)
class _Kept:
    """A token that is good until it ends, and what was noted of its use."""

    caller: TokenCaller
    used: float


class People:
    """Everybody who is known to one central."""

    def __init__(self, declared: Iterable[ApiToken] = ()) -> None:
        self._declared = {token.sha256: token.identity for token in declared}
        self._kept: Mapping[str, _Kept] = {}
        self._good: Mapping[int, TokenCaller] = {}
        self._of_file = _roles(self._declared.values())
        self._roles: Mapping[Place, str] = self._of_file
        self._sizes = _sizes(self._roles)
        self._used: dict[int, float] = {}  # what is not written down yet

    def take(
        self,
        communities: Sequence[Community],
        sites: Sequence[Site],
        members: Sequence[MemberRow],
        tokens: Sequence[TokenRow],
    ) -> None:
        """Make these who was let in. What is for a group or a site that is not there counts for nothing."""
        there = {(community.name, group.name, "") for community in communities for group in community.groups}
        there |= {("", "", site.name) for site in sites}
        current = {_place(row): row for row in members if (row.community, row.group, row.site) in there}
        self._roles = _roles((*self._declared.values(), *map(_identity, current.values())))
        self._sizes = _sizes(self._roles)
        kept: dict[str, _Kept] = {}
        for row in tokens:
            member = current.get(_place(row))
            role = self._roles.get(_place(row))
            before = member is not None and row.created < member.created
            if role is not None and _is_role(row) and (not before or _place(row) in self._of_file):
                kept[row.sha256] = _Kept(_caller(row, role), row.used or 0.0)
        self._kept = kept
        self._good = {one.caller.token: one.caller for one in kept.values()}

    def known(self, sha256: str, now: float) -> Identity:
        """Whose token has that digest. Raises ``unauthorized``."""
        if (declared := self._declared.get(sha256)) is not None:
            return declared
        kept = self._kept.get(sha256)
        if kept is None:
            raise Refusal("unauthorized", "this API token is not known here; it may have been revoked, or have ended")
        if kept.caller.expires < now:
            raise Refusal("unauthorized", "this API token has ended; ask for a new one, or make one in time next time")
        number = kept.caller.token
        if now - max(kept.used, self._used.get(number, 0.0)) > ROUGHLY:
            self._used[number] = now
        return kept.caller

    def still(self, caller: object, now: float) -> bool:
        """Whether a person who was known a while ago is so now, in the same role."""
        if not isinstance(caller, TokenCaller):
            return True
        return self._good.get(caller.token) == caller and caller.expires >= now

    def role(self, user: str, community: str, group: str, site: str = "") -> str | None:
        """The highest role that somebody has in a group, or at a site; None: no member of it."""
        return self._roles.get((user, community, group, site))

    def size(self, community: str, group: str) -> int:
        """How many members a group has."""
        return self._sizes[community, group]

    def roles(self, whose: Whose) -> tuple[Identity, ...]:
        """The memberships that are meant, each with the highest role."""
        return _of(self._roles, whose)

    def declared(self, whose: Whose) -> tuple[Identity, ...]:
        """Those of them that the settings file declares, with the highest role that it does."""
        return _of(self._of_file, whose)

    def used(self, number: int) -> float | None:
        """When a token was used last here, roughly, where that is not written down yet."""
        return self._used.get(number)

    def take_used(self) -> Mapping[int, float]:
        """When which tokens were used, once: for whoever writes it down."""
        used, self._used = self._used, {}
        self._kept = {
            sha256: _Kept(one.caller, max(one.used, used.get(one.caller.token, 0.0)))
            for sha256, one in self._kept.items()
        }
        return used


def _of(roles: Mapping[Place, str], whose: Whose) -> tuple[Identity, ...]:
    return tuple(
        Identity(user, community, group, role, site)
        for (user, community, group, site), role in roles.items()
        if whose.covers(community, group, user, site)
    )


def _place(row: MemberRow | TokenRow | Identity) -> Place:
    return row.user, row.community, row.group, row.site


def _is_role(row: MemberRow | TokenRow | Identity) -> bool:
    """Whether that is a role in a group, or the one role at a site."""
    return row.role == SITE_ADMIN if row.site else row.role in ROLES


def _identity(row: MemberRow) -> Identity:
    return Identity(row.user, row.community, row.group, row.role, row.site)


def _roles(people: Iterable[Identity]) -> dict[Place, str]:
    """The highest role of everybody in every group, and the admins of sites. What is neither is nobody's."""
    found: dict[Place, str] = {}
    for one in people:
        if _is_role(one):
            before = found.get(_place(one), one.role)
            found[_place(one)] = one.role if at_most(before, one.role) else before
    return found


def _sizes(roles: Iterable[Place]) -> Counter[tuple[str, str]]:
    return Counter((community, group) for _, community, group, site in roles if not site)


def _caller(row: TokenRow, role: str) -> TokenCaller:
    """A token never does more than the membership of its owner lets it do now."""
    known = {scope.value: scope for scope in Scope}
    scopes = frozenset(known[name] for name in row.scopes if name in known)
    return TokenCaller(
        user=row.user,
        community=row.community,
        group=row.group,
        role=least(row.role, role),
        site=row.site,
        token=row.id,
        scopes=scopes,
        expires=row.expires,
    )
