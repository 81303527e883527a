"""What becomes of somebody who has logged in, by whatever way: memberships that come and go, and a token."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.leaving import Leaver, let_go
from central.login import mapping
from central.login.mapping import Said
from central.people import CERTIFICATE_GIVER, GIVER, MemberRow, NewMember, NewToken, Whose, place_of
from central.records import Identity, Note
from central.routes.tokens import MOST, PREFIX
from central.trust.rules import least
from pilot.login import LoggedIn
from pilot.people import SCOPES

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)
#: What a token is called that somebody got by logging in.
NAME = "login"
#: On whose word memberships are given, by who gives them.
_WORD = {GIVER: "the identity provider", CERTIFICATE_GIVER: "the VO"}


@dataclass(frozen=True)
class Given:
    """What a login gives. `giver`: of memberships; `by`: on whose word, for the audit; `outdated`: which memberships of
    a user that word ends."""

    giver: str
    by: str
    scopes: Sequence[str]
    life: float  # seconds
    outdated: Callable[[Sequence[MemberRow]], Sequence[MemberRow]]


@dataclass(frozen=True)
class Wanted:
    """Where somebody wants to work; empty: wherever comes first."""

    community: str = ""
    group: str = ""
    site: str = ""


async def let_in(central: Central, said: Said, wanted: Wanted, given: Given) -> LoggedIn:
    """Give a token, and the membership that goes with it. Raises ``forbidden``."""
    rows = await central.store.members(Whose(user=said.user))
    for old in given.outdated(rows):
        await _taken_back(central, old)
    who = mapping.choose(said, wanted.community, wanted.group, wanted.site)
    if mapping.needs_membership(rows, who, given.giver):
        note = Note(given.giver, "member.add", who.community, who.user, place_of(who), detail=who.role)
        member = NewMember(who.user, who.community, who.group, who.role, given.giver, who.site)
        kept = await central.store.keep_member(member, note)
        mapping.needs_membership((kept,), who, given.giver)  # an admin may have taken it back this moment
    token = PREFIX + secrets.token_urlsafe(32)
    row = await central.store.open_token(_new_token(token, who, given), MOST, note_of(who, "login", f"by {given.by}"))
    await central.look_at_people()
    fields = {"token": row.id, "user": who.user, "community": who.community, "group": who.group, "site": who.site}
    log.info("Somebody has logged in", extra={"fields": {**fields, "role": who.role}})
    role = least(who.role, central.people.role(who.user, who.community, who.group, who.site) or who.role)
    others = tuple(mapping.told(one) for one in said.places if one is not who)
    return LoggedIn(token, row.id, who.user, who.community, who.group, role, row.expires, others, who.site)


def _new_token(token: str, who: Identity, given: Given) -> NewToken:
    return NewToken(
        sha256=hashlib.sha256(token.encode()).hexdigest(),
        name=NAME,
        user=who.user,
        community=who.community,
        group=who.group,
        role=who.role,
        scopes=tuple(scope for scope in SCOPES if scope in given.scopes),
        seconds=given.life,
        who=who.user,
        site=who.site,
    )


async def _taken_back(central: Central, row: MemberRow) -> None:
    """End a membership that a login gave and that the same kind of login does not speak for any more."""
    why = f"{_WORD.get(row.who, 'the login')} does not say so any more"
    note = Note(row.who, "member.revoke", row.community, row.user, place_of(row), detail=why)
    await central.store.revoke_member(row.id, GIVER, why, note)
    await central.look_at_people()
    if not row.site and central.people.role(row.user, row.community, row.group) is None:
        by = Identity(GIVER, row.community, row.group, "operator")
        await let_go(central, Leaver(by, row.user, row.community, row.group, why), False)


def note_of(who: Identity, what: str, detail: str) -> Note:
    """A line of the audit about what somebody did for themselves."""
    return Note(who.user, what, who.community, who.user, place_of(who), detail=detail)
