"""Communities and their groups: who is due how much, and which of them operators and admins add while the central runs.

What central.toml declares is central.toml's: it is shown, and neither changed nor removed here.
"""

from __future__ import annotations

import logging
from typing import Any

from central.added import PlaceRow
from central.configuration import belonging
from central.configuration.belonging import COMMUNITY, GROUP
from central.configuration.settings import Community, Group
from central.people import Whose
from central.serving.audited import About
from central.serving.http import Call, Route
from central.trust.rules import Who, community_of
from pilot.errors import Refusal
from pilot.people import AddRequest, CommunityPage, CommunityView, GroupView, ShareRequest

log = logging.getLogger(__name__)


async def page(call: Call[None]) -> CommunityPage:
    """Those that the caller may see: the own one, or all."""
    own = community_of(call.person)
    seen = [one for one in call.central.settings.communities if own in (None, one.name)]
    return CommunityPage(tuple(_view(call, one) for one in sorted(seen, key=lambda one: one.name)))


async def show(call: Call[None]) -> CommunityView:
    """One community: its share, and its groups."""
    return _view(call, visible(call, call.text("name")))


async def add(call: Call[AddRequest]) -> CommunityView:
    """Add a community, for groups to be added to."""
    name = call.message.name
    belonging.check_name("name", name)
    if belonging.find(call.central.settings, name) is not None:
        raise Refusal("conflict", f"there is a community {name} already")
    await _keep(call, COMMUNITY, name, call.message.share, "add")
    return _view(call, visible(call, name))


async def share(call: Call[ShareRequest]) -> CommunityView:
    """Say what share of all capacity a community is due. The matcher goes by it at once."""
    name = visible(call, call.text("name")).name
    _expect_added(call, COMMUNITY, name)
    await _keep(call, COMMUNITY, name, call.message.share, "share")
    return _view(call, visible(call, name))


async def remove(call: Call[None]) -> CommunityView:
    """Take away a community that was added and that nothing depends on."""
    found = visible(call, call.text("name"))
    _expect_added(call, COMMUNITY, found.name)
    _expect_empty(call, f"the community {found.name}", Whose(found.name))
    view = _view(call, found)
    await _remove(call, COMMUNITY, found.name)
    return view


async def add_group(call: Call[AddRequest]) -> GroupView:
    """Add a group to a community, also to one that central.toml declares."""
    community, name = _administered(call), call.message.name
    belonging.check_name("name", name)
    if belonging.find_group(community, name) is not None:
        raise Refusal("conflict", f"there is a group {name} of {community.name} already")
    await _keep(call, GROUP, belonging.key(community.name, name), call.message.share, "add")
    return _group_view(call, community.name, Group(name, call.message.share))


async def share_group(call: Call[ShareRequest]) -> GroupView:
    """Say what share of its community a group is due. The matcher goes by it at once."""
    community, group = _administered(call), _group(call)
    _expect_added(call, GROUP, belonging.key(community.name, group.name))
    await _keep(call, GROUP, belonging.key(community.name, group.name), call.message.share, "share")
    return _group_view(call, community.name, Group(group.name, call.message.share))


async def remove_group(call: Call[None]) -> GroupView:
    """Take away a group that was added and has no members."""
    community, group = _administered(call), _group(call)
    key = belonging.key(community.name, group.name)
    _expect_added(call, GROUP, key)
    _expect_empty(call, f"the group {group.name} of {community.name}", Whose(community.name, group.name))
    view = _group_view(call, community.name, group)
    await _remove(call, GROUP, key)
    return view


# -- what is there --------------------------------------------------------------------------------------------------
def visible(call: Call[Any], name: str) -> Community:
    """A community that the caller may see. Raises ``not-found``, as for one that is not there."""
    found = belonging.find(call.central.settings, name)
    if found is None or community_of(call.person) not in (None, name):
        raise Refusal("not-found", f"there is no community {name:.100} that you may see")
    return found


def visible_group(call: Call[Any], community: str, name: str) -> Group:
    """A group of a community that the caller may see. Raises ``not-found``."""
    found = belonging.find_group(visible(call, community), name)
    if found is None:
        raise Refusal("not-found", f"there is no group {name:.100} of {community}")
    return found


def _administered(call: Call[Any]) -> Community:
    return visible(call, call.text("name"))  # whoever may see it, on these routes, administers it


def _group(call: Call[Any]) -> Group:
    return visible_group(call, call.text("name"), call.text("group"))


def _expect_added(call: Call[Any], kind: str, name: str) -> None:
    if call.central.places.declares(kind, name):
        todo = "change that there, and start the central anew"
        raise Refusal("conflict", f"the {kind} {name} is central.toml's, which declares it: {todo}")


def _expect_empty(call: Call[Any], what: str, whose: Whose) -> None:
    """Raises ``conflict`` while somebody belongs there."""
    if users := sorted({one.user for one in call.central.people.roles(whose)}):
        some = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
        raise Refusal("conflict", f"{what} has members: {some}; revoke them first")


# -- what is kept ---------------------------------------------------------------------------------------------------
async def _keep(call: Call[Any], kind: str, name: str, share: float, verb: str) -> None:
    text = belonging.text(name.rpartition("/")[2], share)
    row = await call.central.store.keep_place(kind, name, text, call.person.user, "" if verb == "add" else verb)
    await _taken_up(call, row, verb, f"share {share:g}")
    if problem := call.central.places.problems.get((kind, name)):
        raise Refusal("conflict", f"the {kind} {name} is kept and does not count: {problem}")


async def _remove(call: Call[Any], kind: str, name: str) -> None:
    places = call.central.places
    broken = [one for one in places.without(kind, name).items() if one[0] not in places.problems]
    if broken:
        (of, which), problem = broken[0]
        raise Refusal("conflict", f"the {kind} {name} is not removed: the {of} {which} would not count: {problem}")
    row = await call.central.store.remove_place(kind, name, call.person.user)
    await _taken_up(call, row, "remove")


async def _taken_up(call: Call[Any], row: PlaceRow, verb: str, detail: str = "") -> None:
    await call.central.look_at_places()
    community, _, group = row.name.partition("/")
    call.about = About(f"group {group}" if group else community, detail, community)
    fields = {"kind": row.kind, "name": row.name, "number": row.version, "who": row.who, "what": verb}
    log.info("A community or a group is changed", extra={"fields": fields})


def _view(call: Call[Any], community: Community) -> CommunityView:
    row = call.central.places.added(COMMUNITY, community.name)
    return CommunityView(
        name=community.name,
        share=community.share,
        groups=tuple(_group_view(call, community.name, group) for group in community.groups),
        declared=row is None,
        who=row.who if row else "",
        changed=row.created if row else None,
    )


def _group_view(call: Call[Any], community: str, group: Group) -> GroupView:
    row = call.central.places.added(GROUP, belonging.key(community, group.name))
    return GroupView(
        name=group.name,
        share=group.share,
        members=call.central.people.size(community, group.name),
        declared=row is None,
        who=row.who if row else "",
        changed=row.created if row else None,
    )


_COMMUNITIES = "/v1/communities"
_ONE = f"{_COMMUNITIES}/{{name:name}}"
_GROUPS = f"{_ONE}/groups"
_GROUP = f"{_GROUPS}/{{group:name}}"
_ADMINS = (Who.COMMUNITY_ADMIN,)
_OPERATORS = (Who.OPERATOR,)
ROUTES: tuple[Route[Any], ...] = (
    Route("GET", _COMMUNITIES, page, (Who.MEMBER,), "List communities", reply=CommunityPage),
    Route(
        "POST",
        _COMMUNITIES,
        add,
        _OPERATORS,
        "Add a community",
        message=AddRequest,
        reply=CommunityView,
        status=201,
        audit="community.add",
    ),
    Route("GET", _ONE, show, (Who.MEMBER,), "One community and its groups", reply=CommunityView),
    Route("DELETE", _ONE, remove, _OPERATORS, "Take away a community", reply=CommunityView, audit="community.remove"),
    Route(
        "POST",
        f"{_ONE}/share",
        share,
        _OPERATORS,
        "Say what a community is due",
        message=ShareRequest,
        reply=CommunityView,
        audit="community.share",
    ),
    Route(
        "POST",
        _GROUPS,
        add_group,
        _ADMINS,
        "Add a group",
        message=AddRequest,
        reply=GroupView,
        status=201,
        audit="group.add",
    ),
    Route("DELETE", _GROUP, remove_group, _ADMINS, "Take away a group", reply=GroupView, audit="group.remove"),
    Route(
        "POST",
        f"{_GROUP}/share",
        share_group,
        _ADMINS,
        "Say what a group is due",
        message=ShareRequest,
        reply=GroupView,
        audit="group.share",
    ),
)
