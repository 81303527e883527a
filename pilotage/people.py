"""The part of the client that is about who may work here: communities, groups, members, site admins and API tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from pilot.people import (
    USUAL_LIFE,
    USUAL_SCOPES,
    AddRequest,
    CommunityPage,
    CommunityView,
    GroupView,
    MadeToken,
    MemberPage,
    MemberRequest,
    MemberView,
    RevokeReply,
    RevokeRequest,
    ShareRequest,
    TokenPage,
    TokenRequest,
    TokenView,
)
from pilotage.asking import Asking
from pilotage.transport import Request

T = TypeVar("T")


class PeoplePart(Asking):
    """Where no community, group or site is named, one's own is meant."""

    # -- communities and groups -------------------------------------------------------------------------------------
    def communities(self) -> tuple[CommunityView, ...]:
        """Those that one may see, with their groups."""
        return self._get(CommunityPage, "/v1/communities").communities

    def community(self, name: str) -> CommunityView:
        """One community and its groups."""
        return self._get(CommunityView, _community(name))

    def add_community(self, name: str, share: float = 1.0) -> CommunityView:
        """Add a community, for groups to be added to. For operators."""
        return self._asked(CommunityView, "/v1/communities", AddRequest(name, share), repeatable=False)

    def share_community(self, name: str, share: float) -> CommunityView:
        """Say what share of all capacity a community is due. For operators."""
        return self._asked(CommunityView, _community(name, "share"), ShareRequest(share))

    def remove_community(self, name: str) -> CommunityView:
        """Take away a community that was added. For operators."""
        return self._transport.ask(CommunityView, Request("DELETE", _community(name)))

    def add_group(self, community: str, name: str, share: float = 1.0) -> GroupView:
        """Add a group to a community. For its admins."""
        return self._asked(GroupView, _community(community, "groups"), AddRequest(name, share), repeatable=False)

    def share_group(self, community: str, name: str, share: float) -> GroupView:
        """Say what share of its community a group is due. For the community's admins."""
        return self._asked(GroupView, _group(community, name, "/share"), ShareRequest(share))

    def remove_group(self, community: str, name: str) -> GroupView:
        """Take away a group that was added and has no members. For the community's admins."""
        return self._transport.ask(GroupView, Request("DELETE", _group(community, name)))

    # -- members ----------------------------------------------------------------------------------------------------
    def members(
        self, community: str = "", group: str = "", user: str = "", *, site: str = "", all: bool = False
    ) -> tuple[MemberView, ...]:
        """Who may work where, of those whom one may see. `all`: also who may not any more."""
        return self._get(MemberPage, "/v1/members", _whose(community, group, user, site, all)).members

    def add_member(
        self, user: str, group: str = "", role: str = "", community: str = "", *, site: str = ""
    ) -> MemberView:
        """Let somebody into a group, as a member or in a higher role. For its admins. `site`: make them an admin of
        that site instead. For operators."""
        request = MemberRequest(user, group, role, community, site)
        return self._asked(MemberView, "/v1/members", request, repeatable=False)

    def change_role(self, user: str, role: str, group: str = "", community: str = "") -> MemberView:
        """Give somebody another role in a group. For its admins."""
        return self._asked(MemberView, "/v1/members/role", MemberRequest(user, group, role, community))

    def revoke_member(
        self, user: str, group: str = "", community: str = "", *, site: str = "", kill: bool = False, reason: str = ""
    ) -> RevokeReply:
        """Let go of somebody, in one group or in all that one may: tokens end, and jobs that wait are held.

        `kill`: end all jobs that are not over. `site`: they are no admin of that site any more, and that is all.
        """
        request = RevokeRequest(user, group, community, kill, reason, site)
        return self._asked(RevokeReply, "/v1/members/revoke", request, repeatable=False)

    # -- tokens -----------------------------------------------------------------------------------------------------
    def tokens(
        self, community: str = "", group: str = "", user: str = "", *, site: str = "", all: bool = False
    ) -> tuple[TokenView, ...]:
        """API tokens, without the tokens, of those whom one may see. `all`: also those that are not good any more."""
        return self._get(TokenPage, "/v1/tokens", _whose(community, group, user, site, all)).tokens

    def make_token(
        self,
        name: str = "",
        *,
        scopes: Sequence[str] = USUAL_SCOPES,
        seconds: int = USUAL_LIFE,
        user: str = "",
        group: str = "",
        role: str = "",
        community: str = "",
        site: str = "",
    ) -> MadeToken:
        """Make a token for oneself, or for somebody whom one may let in. It is told this once."""
        request = TokenRequest(name, tuple(scopes), seconds, user, community, group, role, site)
        return self._asked(MadeToken, "/v1/tokens", request, repeatable=False)

    def revoke_token(self, number: int) -> TokenView:
        """End a token, and those that were made with it."""
        return self._transport.ask(TokenView, Request("DELETE", f"/v1/tokens/{number}"))

    def _asked(self, kind: type[T], path: str, message: object, *, repeatable: bool = True) -> T:
        body = msgspec.json.encode(message)
        return self._transport.ask(kind, Request("POST", path, body=body, repeatable=repeatable))


def _whose(community: str, group: str, user: str, site: str, all: bool) -> Mapping[str, str]:
    return {"community": community, "group": group, "user": user, "site": site, "all": "true" if all else ""}


def _community(name: str, rest: str = "") -> str:
    return f"/v1/communities/{quote(name, safe='')}" + (f"/{rest}" if rest else "")


def _group(community: str, name: str, rest: str = "") -> str:
    return _community(community, f"groups/{quote(name, safe='')}{rest}")
