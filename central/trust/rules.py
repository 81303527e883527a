"""Who may do what: the one place to read it.

A route names the callers that it admits; whoever is not named is refused. What a person may not see does not exist for
them. Roles, each with everything before it: a *member* reads the jobs of the own community and changes the own ones, a
*group-admin* changes those of the group and lets members into it, a *community-admin* does both in all the community
and says what its groups are due, an *operator* sees and changes everything and gives orders to pilots.

A token that was made while the central runs is for some *scopes* alone; each route needs one, see `scope_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from central.configuration.settings import ROLES
from central.people import Whose
from central.records import Identity
from central.trust.seal import JobToken, PilotToken, Ticket
from pilot.errors import Refusal


class Who(Enum):
    """Kinds of callers, as routes name them."""

    ANYBODY = "anybody"  #: no credentials needed, or the message itself carries them
    PILOT = "pilot"  #: a signed request under a token that is good
    AGED_PILOT = "aged pilot"  #: a signed request, also under a token that has expired
    PAYLOAD = "payload"  #: the token of one attempt
    TICKET = "ticket"  #: the ticket for a boot log
    MEMBER = "member"  #: these four: a person with at least this role
    GROUP_ADMIN = "group-admin"
    COMMUNITY_ADMIN = "community-admin"
    OPERATOR = "operator"


PEOPLE = tuple(Who(role) for role in ROLES)


class Scope(Enum):
    """What a token may be made for, each by itself: none contains another."""

    READ = "read"  #: whatever its owner may read
    SUBMIT = "submit"  #: jobs, and the files that go with them
    CHANGE = "change"  #: jobs that are there: kill, hold, release, reschedule, priority
    SECRETS = "secrets"  #: keep and remove credentials
    MANAGE = "manage"  #: whatever else its owner may: people and tokens, queues and sites, orders to pilots, bundles


#: The scopes of routes that are no plain reading and do not need `Scope.MANAGE`, which all others do.
SCOPES: Mapping[tuple[str, str], Scope] = {
    ("POST", "/v1/jobs/explain"): Scope.READ,
    ("POST", "/v1/jobs/{job:number}/peeks"): Scope.READ,
    ("POST", "/v1/logout"): Scope.READ,
    ("POST", "/v1/jobs"): Scope.SUBMIT,
    ("PUT", "/v1/sandboxes/{sha256:sha256}"): Scope.SUBMIT,
    ("POST", "/v1/jobs/{verb:verb}"): Scope.CHANGE,
    ("PUT", "/v1/credentials/{name:name}"): Scope.SECRETS,
    ("DELETE", "/v1/credentials/{name:name}"): Scope.SECRETS,
}


def scope_of(method: str, path: str) -> Scope:
    """What a token must be made for to be used on a route: one that nobody thought of needs the rarest."""
    return SCOPES.get((method, path), Scope.READ if method in ("GET", "HEAD") else Scope.MANAGE)


class PilotCaller(NamedTuple):
    """A pilot whose token was opened; its signature counts before its words do. `aged`: the token has expired."""

    token: PilotToken
    aged: bool


@dataclass(frozen=True)
class PayloadCaller:
    token: JobToken


@dataclass(frozen=True)
class TicketCaller:
    token: Ticket


@dataclass(frozen=True)
class TokenCaller(Identity):
    """A person, or a program of theirs, by an API token that was made while the central runs."""

    token: int
    scopes: frozenset[Scope]
    expires: float  # seconds since the epoch


Caller = PilotCaller | PayloadCaller | TicketCaller | Identity | None


def admit(admitted: Collection[Who], caller: Caller, scope: Scope | None = None) -> None:
    """Let a caller pass whom the route names. Raises ``unauthorized``, ``forbidden`` or ``token-expired``."""
    if Who.ANYBODY in admitted:
        return
    if caller is None:
        raise Refusal("unauthorized", f"this needs the credentials of one of: {_names(admitted)}; none were sent")
    if isinstance(caller, Identity):
        rank = ROLES.index(caller.role)
        if any(who in admitted for who in PEOPLE[: rank + 1]):
            _expect_scope(caller, scope)
            return
    elif isinstance(caller, PilotCaller):
        if Who.AGED_PILOT in admitted:
            return
        if Who.PILOT in admitted:
            if caller.aged:
                raise Refusal("token-expired", "the pilot's token has aged out; renew it, then send this again")
            return
    elif (Who.PAYLOAD if isinstance(caller, PayloadCaller) else Who.TICKET) in admitted:
        return
    raise Refusal("forbidden", f"this is for: {_names(admitted)}")


def _expect_scope(person: Identity, scope: Scope | None) -> None:
    if scope is None or not isinstance(person, TokenCaller) or scope in person.scopes:
        return
    has = ", ".join(sorted(one.value for one in person.scopes)) or "nothing"
    raise Refusal("forbidden", f"this needs a token with the scope {scope.value}; this one has {has}")


def _names(admitted: Collection[Who]) -> str:
    return ", ".join(sorted(who.value for who in admitted)) or "nobody"


def community_of(person: Identity) -> str | None:
    """The community that everything a person reads is filtered by; None: an operator, who sees all."""
    return None if person.role == "operator" else person.community


def may_see_pilot(person: Identity, communities: Collection[str]) -> bool:
    """Whether a pilot that serves these communities exists for this person."""
    community = community_of(person)
    return community is None or community in communities


def may_change_job(person: Identity, community: str, group: str, owner: str) -> bool:
    """Whether a person may kill, hold, release, reschedule or re-prioritise such a job."""
    if person.role == "operator":
        return True
    if person.community != community:
        return False
    if person.role == "community-admin":
        return True
    return (person.role == "group-admin" and person.group == group) or person.user == owner


# -- people ---------------------------------------------------------------------------------------------------------
def at_most(role: str, most: str) -> bool:
    """Whether a role is not above another."""
    return ROLES.index(role) <= ROLES.index(most)


def sees(person: Identity) -> Whose:
    """Whose memberships and tokens a person may see: all, the community's, the group's, or the own."""
    if person.role == "operator":
        return Whose()
    if person.role == "community-admin":
        return Whose(person.community)
    if person.role == "group-admin":
        return Whose(person.community, person.group)
    return Whose(person.community, user=person.user)


def may_give(person: Identity, community: str, group: str, role: str) -> bool:
    """Whether a person may give somebody that role in a group, and take it back."""
    if person.role == "operator":
        return True
    if person.community != community:
        return False
    if person.role == "community-admin":
        return at_most(role, person.role)
    return person.role == "group-admin" and person.group == group and role == "member"


def may_speak_for(person: Identity, roles: Collection[Identity]) -> bool:
    """Whether a person may make a token for somebody else, who has or had these roles.

    With the token goes whatever that user owns in the community, jobs and secrets: all of the roles must be such as
    the person may give.
    """
    return all(may_give(person, one.community, one.group, one.role) for one in roles)
