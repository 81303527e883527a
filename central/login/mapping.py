"""What a provider's claims mean here: who somebody is, which groups they are in, and what becomes of what they had.

All of it is decided from what is handed in; `central/routes/entering.py` does what is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from central.configuration.belonging import check_name
from central.configuration.login import Login, LoginRule
from central.configuration.settings import Community, Site
from central.people import GIVER, MemberRow
from central.records import Identity
from central.trust.rules import at_most
from pilot.errors import InvalidInput, Refusal

R = TypeVar("R", bound=LoginRule)
#: Values of the claim that are looked at; more are refused.
MOST_VALUES = 1000


@dataclass(frozen=True)
class Said:
    """Who a provider says that somebody is, and where that lets them in."""

    user: str
    places: tuple[Identity, ...]  # in the order of the rules, each group once with the highest role, and each site
    why: str  # what the claim says


def read(login: Login, claims: Mapping[str, Any], communities: Sequence[Community], sites: Sequence[Site] = ()) -> Said:
    """Raises ``forbidden`` for claims that name no user."""
    user = user_of(login, claims)
    values = values_of(login, claims)
    found = places(user, login.rules, lambda rule: any(fits(rule, value) for value in values), communities, sites)
    why = f"{login.claim} = {_listed(values)}" if values else f"no {login.claim}"
    return Said(user, found, f"the identity provider says {why} of {user}")


def places(
    user: str,
    rules: Sequence[R],
    means: Callable[[R], bool],
    communities: Sequence[Community],
    sites: Sequence[Site],
) -> tuple[Identity, ...]:
    """Where rules let a user in. `means`: whether a rule is about this user."""
    there = {(community.name, group.name, "") for community in communities for group in community.groups}
    there |= {("", "", site.name) for site in sites}
    found: dict[tuple[str, str, str], Identity] = {}
    for rule in rules:
        place = located(rule)
        if place not in there or not means(rule):
            continue
        before = found.get(place)
        if before is None or at_most(before.role, rule.role):
            found[place] = Identity(user, rule.community, rule.group, rule.role, rule.site)
    return tuple(found.values())


def located(one: LoginRule | Identity | MemberRow) -> tuple[str, str, str]:
    """Community, group and site: either the first two are said, or the last."""
    return one.community, one.group, one.site


def user_of(login: Login, claims: Mapping[str, Any]) -> str:
    """Raises ``forbidden``."""
    value = _claim(claims, login.user)
    if not isinstance(value, str):
        raise Refusal("forbidden", f"the provider's ID token does not name the user: it has no text as {login.user!r}")
    try:
        check_name("user", value)
    except InvalidInput as problem:
        raise Refusal("forbidden", f"the provider's {login.user} cannot be a user here: {problem.problem}") from problem
    return value


def values_of(login: Login, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """What the claim says: a text, or a list of texts. Raises ``forbidden``."""
    value = _claim(claims, login.claim)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Refusal("forbidden", f"the provider's {login.claim} is neither a text nor a list of texts")
    if len(values) > MOST_VALUES:
        raise Refusal("forbidden", f"the provider's {login.claim} has {len(values)} values; {MOST_VALUES} are read")
    return tuple(values)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name; else, where the name has dots, what lies so deep in objects."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def fits(rule: LoginRule, value: str) -> bool:
    """Whether a value is what a rule is about, in the same case."""
    first, *rest = rule.value.split("*")
    if not rest:
        return first == value
    if not value.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = value.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return value.endswith(rest[-1]) and len(value) - len(rest[-1]) >= at


def choose(said: Said, community: str, group: str, site: str = "") -> Identity:
    """The group that somebody wants to work in, or the site; the first when nothing is said. Raises ``forbidden``."""
    if not said.places:
        raise Refusal("forbidden", f"{said.why}, which lets nobody in here: ask whoever admits people to your group")
    for one in said.places:
        if community in ("", one.community) and group in ("", one.group) and site in ("", one.site):
            return one
    known = ", ".join(map(told, said.places))
    wanted = " of ".join(filter(None, (f"the group {group}" if group else "any group", community)))
    wanted = f"the site {site}" if site else wanted
    raise Refusal("forbidden", f"you are not let into {wanted[:250]}; you may log in to: {known}")


def told(place: Identity) -> str:
    """Where somebody may work, in words."""
    return f"the site {place.site}" if place.site else f"{place.group} of {place.community}"


def outdated(rows: Sequence[MemberRow], found: Sequence[Identity]) -> tuple[MemberRow, ...]:
    """Memberships of one user that a login gave, and that the provider's word does not bear any more."""
    borne = set(map(located, found))
    given = (row for row in rows if row.who == GIVER and row.revoked is None)
    return tuple(row for row in given if located(row) not in borne)


def needs_membership(rows: Sequence[MemberRow], wanted: Identity, giver: str = GIVER) -> bool:
    """Whether the membership has to be given, or its role made another. `rows`: all of that user; `giver`: who gives
    memberships at logins of this kind.

    What others gave stays as it is. Raises ``forbidden`` for what an admin took back, and for every other group of
    the community as long as nothing else is left there: no login gives that again. Sites are each by itself.
    """
    here = [row for row in rows if (row.community, row.site) == (wanted.community, wanted.site)]
    row = next((one for one in here if one.group == wanted.group), None)
    if row is not None and row.revoked is None:
        return row.who == giver and row.role != wanted.role
    taken = [one for one in here if one.revoked is not None and one.revoked_by != GIVER]
    if row in taken or (taken and all(one.revoked is not None for one in here)):
        last = row if row is not None and row in taken else taken[-1]
        why = f" ({last.reason})" if last.reason else ""
        raise Refusal(
            "forbidden",
            f"the admin {last.revoked_by} took back the membership of {last.user} in"
            f" {last.site or last.group}{why}: only an admin gives another",
        )
    return True


def _listed(values: Sequence[str]) -> str:
    few = ", ".join(repr(value[:60]) for value in values[:5])
    return few + (f" and {len(values) - 5} more" if len(values) > 5 else "")
