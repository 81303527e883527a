"""Who may work in which group, and as what, and who is the admin of a site: let in, given another role, and let go of,
by whoever may."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from central.configuration.belonging import check_name
from central.configuration.settings import ROLES, SITE_ADMIN
from central.leaving import Leaver, let_go
from central.people import MemberRow, NewMember, Whose, place_of
from central.records import Identity, Note
from central.routes.communities import visible, visible_group
from central.routes.existing import site_for
from central.serving.http import Call, Route
from central.serving.journal import in_a_line
from central.store.decide import unknown_member
from central.trust.rules import Who, may_give, sees
from pilot.errors import InvalidInput, Refusal
from pilot.people import MemberPage, MemberRequest, MemberView, RevokeReply, RevokeRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WhoseQuery:
    """Whose; what is not said is whatever the caller may see. `all`: also what is not good any more."""

    community: str | None = None
    group: str | None = None
    user: str | None = None
    site: str | None = None
    all: bool = False

    def among(self, person: Identity) -> Whose:
        """What of it a person may see. Raises ``not-found`` for what is beyond that."""
        seen, found = sees(person), {}
        for what in ("community", "group", "user", "site"):
            most, asked = getattr(seen, what), getattr(self, what)
            if most is not None and asked not in (None, most):
                raise Refusal("not-found", f"there is no {what} {asked:.100} that you may see")
            found[what] = most if asked is None else asked
        return Whose(**found)


async def page(call: Call[None]) -> MemberPage:
    """Who may work where: those whom central.toml declares, and those who were let in."""
    query = call.query(WhoseQuery)
    whose = query.among(call.person)
    rows = [row for row in await call.central.store.members(whose) if query.all or row.revoked is None]
    views = [*map(_declared, call.central.people.declared(whose)), *map(_view, rows)]
    return MemberPage(tuple(sorted(views, key=lambda view: (view.community, view.group, view.site, view.user))))


async def add(call: Call[MemberRequest]) -> MemberView:
    """Let somebody into a group, or make them the admin of a site."""
    wanted = _wanted(call)
    if (before := call.central.people.role(wanted.user, wanted.community, wanted.group, wanted.site)) is not None:
        if wanted.site:
            raise Refusal("conflict", f"the user {wanted.user} is an admin of the site {wanted.site} already")
        said = f"the user {wanted.user} is in the group {wanted.group} of {wanted.community} already, as {before}"
        raise Refusal("conflict", f"{said}; `pilotage member role` changes that")
    return await _keep(call, wanted, "add")


async def change_role(call: Call[MemberRequest]) -> MemberView:
    """Give somebody another role in a group. Tokens that may do more do no more than it from now on."""
    if call.message.site:
        raise InvalidInput("site", f"expected none: at a site there is one role, {SITE_ADMIN}")
    wanted = _wanted(call)
    before = call.central.people.role(wanted.user, wanted.community, wanted.group)
    if before is None:
        raise unknown_member(wanted.user)
    if not may_give(call.person, wanted.community, wanted.group, before):
        raise Refusal("forbidden", f"the user {wanted.user} is {before} there, which is not yours to change")
    return await _keep(call, wanted, "role")


def _wanted(call: Call[MemberRequest]) -> Identity:
    """The membership that is asked for, which the caller may give. Raises `Refusal` or `InvalidInput`."""
    request, person = call.message, call.person
    check_name("user", request.user)
    if request.site or request.role == SITE_ADMIN:
        return _wanted_admin(call)
    role = request.role or ROLES[0]
    if role not in ROLES:
        raise InvalidInput("role", f"expected one of {', '.join(ROLES)}, got {role[:40]!r}")
    community, group = request.community or person.community, request.group or person.group
    visible_group(call, community, group)
    if not may_give(person, community, group, role):
        raise Refusal("forbidden", f"as {person.role} of {person.group} you cannot make anybody {role} there")
    wanted = Identity(request.user, community, group, role)
    _expect_undeclared(call, wanted, f"of {group} in {community}")
    return wanted


def _wanted_admin(call: Call[MemberRequest]) -> Identity:
    """The same of a site, which is for operators to give."""
    request, person = call.message, call.person
    if not request.site or request.role not in ("", SITE_ADMIN):
        raise InvalidInput("role", f"expected a site and the role {SITE_ADMIN}, or neither")
    if request.community or request.group:
        raise InvalidInput("group", f"expected neither community nor group with a site: a {SITE_ADMIN} has none")
    if not may_give(person, "", "", SITE_ADMIN):
        raise Refusal("forbidden", f"as {person.role} you cannot make anybody {SITE_ADMIN}: operators do")
    site_for(call, request.site)
    wanted = Identity(request.user, "", "", SITE_ADMIN, request.site)
    _expect_undeclared(call, wanted, f"of {request.site}")
    return wanted


def _expect_undeclared(call: Call[MemberRequest], wanted: Identity, where: str) -> None:
    """Raises ``conflict``."""
    if declared := call.central.people.declared(Whose(wanted.community, wanted.group, wanted.user, wanted.site)):
        said = f"central.toml declares {wanted.user} as {declared[0].role} {where}"
        raise Refusal("conflict", f"{said}: change that there, and start the central anew")


async def _keep(call: Call[MemberRequest], wanted: Identity, verb: str) -> MemberView:
    new = NewMember(wanted.user, wanted.community, wanted.group, wanted.role, call.person.user, wanted.site)
    row = await call.central.store.keep_member(new, _note(call.person, wanted, verb, wanted.role))
    await _taken_up(call, row, verb)
    return _view(row)


async def revoke(call: Call[RevokeRequest]) -> RevokeReply:
    """Let go of somebody: tokens end at once, jobs that wait are held, and what runs goes on unless it is killed."""
    central, person, request = call.central, call.person, call.message
    whose = _meant(call).among(person)
    rows = [row for row in await central.store.members(whose) if row.revoked is None]
    still = central.people.declared(whose)
    _expect_may(person, request.user, rows, still)
    good = {token.id for token in await central.store.tokens(whose) if token.revoked is None}
    why = in_a_line(request.reason)
    for row in rows:
        note = _note(person, Identity(row.user, row.community, row.group, row.role, row.site), "revoke", why)
        await _taken_up(call, await central.store.revoke_member(row.id, person.user, why, note), "revoke")
    ended = [token for token in await central.store.tokens(whose) if token.id in good and token.revoked is not None]
    leavers = [
        Leaver(person, row.user, row.community, row.group, why)
        for row in rows
        if not row.site and central.people.role(row.user, row.community, row.group) is None
    ]
    count = sum([await let_go(central, leaver, request.kill) for leaver in leavers])
    gone = tuple(_view(row) for row in await central.store.members(whose) if row.id in {one.id for one in rows})
    held, killed = (0, count) if request.kill else (count, 0)
    return RevokeReply(gone, len(ended), held, killed, tuple(map(_declared, still)))


def _meant(call: Call[RevokeRequest]) -> WhoseQuery:
    """Which memberships are to be taken back. Raises `Refusal` or `InvalidInput`."""
    request, person = call.message, call.person
    if not request.site:
        visible(call, request.community or person.community)
        return WhoseQuery(request.community or person.community, request.group or None, request.user)
    if request.community or request.group:
        raise InvalidInput("group", f"expected neither community nor group with a site: a {SITE_ADMIN} has none")
    if not may_give(person, "", "", SITE_ADMIN):
        raise Refusal("forbidden", f"who is {SITE_ADMIN} is for operators to say")
    return WhoseQuery("", "", request.user, request.site)


def _expect_may(person: Identity, user: str, rows: list[MemberRow], declared: tuple[Identity, ...]) -> None:
    """Raises ``not-found``, ``conflict`` or ``forbidden``."""
    if not rows and declared:
        where = ", ".join(sorted({one.site or one.group for one in declared}))
        raise Refusal(
            "conflict",
            f"central.toml declares {user} in {where}: take the token out there, and start the central anew. What"
            " was made with it goes by `pilotage token revoke`",
        )
    if not rows:
        raise unknown_member(user[:100])
    for row in rows:
        if not may_give(person, row.community, row.group, row.role):
            raise Refusal("forbidden", f"the user {user} is {row.role} of {row.group}, which is not yours to take back")


async def _taken_up(call: Call[Any], row: MemberRow, verb: str) -> None:
    await call.central.look_at_people()
    fields = {"user": row.user, "community": row.community, "group": row.group, "site": row.site, "role": row.role}
    log.info("A membership is changed", extra={"fields": {**fields, "what": verb, "who": call.person.user}})


def _note(who: Identity, whom: Identity, verb: str, detail: str) -> Note:
    return Note(who.user, f"member.{verb}", whom.community, whom.user, place_of(whom), detail=detail)


def _view(row: MemberRow) -> MemberView:
    return MemberView(
        user=row.user,
        community=row.community,
        group=row.group,
        role=row.role,
        who=row.who,
        created=row.created,
        revoked=row.revoked,
        revoked_by=row.revoked_by,
        reason=row.reason,
        site=row.site,
    )


def _declared(one: Identity) -> MemberView:
    return MemberView(one.user, one.community, one.group, one.role, declared=True, site=one.site)


_ADMINS = (Who.GROUP_ADMIN,)
ROUTES: tuple[Route[Any], ...] = (
    Route(
        "GET",
        "/v1/members",
        page,
        (Who.MEMBER, Who.SITE_ADMIN),
        "Who may work where",
        reply=MemberPage,
        query=WhoseQuery,
    ),
    Route(
        "POST",
        "/v1/members",
        add,
        _ADMINS,
        "Let somebody into a group",
        message=MemberRequest,
        reply=MemberView,
        status=201,
    ),
    Route(
        "POST",
        "/v1/members/role",
        change_role,
        _ADMINS,
        "Give a member another role",
        message=MemberRequest,
        reply=MemberView,
    ),
    Route(
        "POST",
        "/v1/members/revoke",
        revoke,
        _ADMINS,
        "Let go of a member",
        message=RevokeRequest,
        reply=RevokeReply,
    ),
)
