"""Who may do what: the one place to read it.

A route names the callers that it admits; whoever is not named is refused. What a person may not see does not exist for
them. Roles, each with everything before it: a *member* reads the jobs of the own community and changes the own ones, a
*group-admin* changes those of the group, a *community-admin* those of the community, an *operator* sees and changes
everything and gives orders to pilots.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from central.configuration.settings import ROLES
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


Caller = PilotCaller | PayloadCaller | TicketCaller | Identity | None


def admit(admitted: Collection[Who], caller: Caller) -> None:
    """Let a caller pass whom the route names. Raises ``unauthorized``, ``forbidden`` or ``token-expired``."""
    if Who.ANYBODY in admitted:
        return
    if caller is None:
        raise Refusal("unauthorized", f"this needs the credentials of one of: {_names(admitted)}; none were sent")
    if isinstance(caller, Identity):
        rank = ROLES.index(caller.role)
        if any(who in admitted for who in PEOPLE[: rank + 1]):
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
