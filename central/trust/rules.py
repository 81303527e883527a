"""Who may do what: the one place to read it.

A route names the callers that it admits; whoever is not named is refused. What a person may not see does not exist for
them. Roles, each with everything before it: a *member* reads the jobs of the own community and changes the own ones, a
*group-admin* changes those of the group and lets members into it, a *community-admin* does both in all the community
and says what its groups are due, an *operator* sees and changes everything and gives orders to pilots. Beside these a
*site-admin*, who has a site and no community, sees the queues and pilots there and stops them; never people's jobs.

A token that was made while the central runs is for some *scopes* alone; each route needs one, see `scope_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from central.configuration.settings import ROLES, SITE_ADMIN
from central.people import Whose
from central.records import Identity
from central.trust.seal import JobToken, PilotToken, Ticket
from pilot.errors import Refusal
from pilot.states import OrderVerb


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
    SITE_ADMIN = "site-admin"  #: the admin of a site, or an operator


PEOPLE = tuple(Who(role) for role in ROLES)


class Scope(Enum):
    """What a token may be made for, each by itself: none contains another."""

    READ = "read"  #: whatever its owner may read
    SUBMIT = "submit"  #: jobs, and the files that go with them
    CHANGE = "change"  #: jobs that are there: kill, hold, release, reschedule, priority
    SECRETS = "secrets"  #: keep and remove credentials
    MANAGE = "manage"  #: whatever else its owner may: people and tokens, queues and sites, orders to pilots, bundles


#: The log streams of a pilot that are not of a step or of a payload: what the wrapper, the pilot and, at its end, the
#: computing element say.
PILOTS_STREAMS = frozenset({"boot", "pilot", "ce"})
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


@dataclass(frozen=True, kw_only=True)
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
        if any(who in admitted for who in _passes(caller)):
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
    raise Refusal("forbidden", f"this is for: {_names(admitted)}{_beside(caller)}")


def _beside(caller: Caller) -> str:
    """What a site's admin is told beside whom something is for, since none of these roles is a step up."""
    if not isinstance(caller, Identity) or caller.role != SITE_ADMIN:
        return ""
    return f"; an admin of the site {caller.site} sees its queues and pilots, and stops them"


def _passes(person: Identity) -> tuple[Who, ...]:
    """The names on a route that let a person in."""
    if person.role == SITE_ADMIN:
        return (Who.SITE_ADMIN,)
    ladder = PEOPLE[: ROLES.index(person.role) + 1]
    return (*ladder, Who.SITE_ADMIN) if person.role == "operator" else ladder


def _expect_scope(person: Identity, scope: Scope | None) -> None:
    if scope is None or not isinstance(person, TokenCaller) or scope in person.scopes:
        return
    has = ", ".join(sorted(one.value for one in person.scopes)) or "nothing"
    raise Refusal("forbidden", f"this needs a token with the scope {scope.value}; this one has {has}")


def _names(admitted: Collection[Who]) -> str:
    return ", ".join(sorted(who.value for who in admitted)) or "nobody"


def community_of(person: Identity) -> str | None:
    """The community that everything a person reads is filtered by; None: an operator, who sees all. A site's admin has
    none, and sees nothing that is filtered so."""
    return None if person.role == "operator" else person.community


def site_of(person: Identity) -> str | None:
    """The one site that a person is there for; None: no site's admin."""
    return person.site if person.role == SITE_ADMIN else None


def may_see_place(person: Identity, site: str, communities: Collection[str]) -> bool:
    """Whether a queue or a pilot of this site that serves these communities exists for this person."""
    if person.role == SITE_ADMIN:
        return site == person.site
    community = community_of(person)
    return community is None or community in communities


def may_read_stream(person: Identity, stream: str) -> bool:
    """Whether a log stream of a pilot that a person may see exists for them. What payloads printed is read by way of
    their jobs: a pilot may serve several communities."""
    if person.role == SITE_ADMIN:
        return stream in PILOTS_STREAMS or stream.startswith("step-")
    return community_of(person) is None or not stream.startswith("job-")


def may_order(person: Identity, verb: OrderVerb) -> bool:
    """Whether a person who may give orders to a pilot may give this one: a site's admin ends it, and that is all."""
    return person.role == "operator" or verb in (OrderVerb.DRAIN, OrderVerb.HALT)


def may_change_job(person: Identity, community: str, group: str, owner: str) -> bool:
    """Whether a person may kill, hold, release, reschedule or re-prioritise such a job."""
    if person.role == "operator":
        return True
    if person.role == SITE_ADMIN or person.community != community:
        return False
    if person.role == "community-admin":
        return True
    return (person.role == "group-admin" and person.group == group) or person.user == owner


# -- people ---------------------------------------------------------------------------------------------------------
def at_most(role: str, most: str) -> bool:
    """Whether a role is not above another. That of a site's admin is below an operator's, and beside all others."""
    if SITE_ADMIN in (role, most):
        return most in (role, "operator")
    return ROLES.index(role) <= ROLES.index(most)


def least(role: str, other: str) -> str:
    """What remains of a role under a bound."""
    return role if at_most(role, other) else other


def sees(person: Identity) -> Whose:
    """Whose memberships and tokens a person may see: all, the community's, the group's, or the own (at the site)."""
    if person.role == "operator":
        return Whose()
    if person.role == "community-admin":
        return Whose(person.community)
    if person.role == "group-admin":
        return Whose(person.community, person.group)
    if person.role == SITE_ADMIN:
        return Whose("", "", person.user, person.site)
    return Whose(person.community, user=person.user)


def may_give(person: Identity, community: str, group: str, role: str) -> bool:
    """Whether a person may give somebody that role in a group, and take it back. Who is a site's admin is for operators
    to say."""
    if person.role == "operator":
        return True
    if SITE_ADMIN in (role, person.role) or person.community != community:
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
