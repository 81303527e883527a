"""The part of the store's port that is about who may work here: memberships, admins of sites, and API tokens.

Every change comes with its line for the audit, which is written when something has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from central.people import MemberRow, NewMember, NewToken, TokenRow, Whose
from central.records import Note


class PeopleStore(Protocol):
    """Those whom admins have let in while the central runs, and their tokens."""

    async def keep_member(self, new: NewMember, note: Note) -> MemberRow:
        """Let somebody into a group, or change the role there, or make them admin of a site. What is so already stays
        as it is; so does, where a login gives it, what anybody but such a login has given or taken back."""

    async def members(self, whose: Whose) -> tuple[MemberRow, ...]:
        """By community, group, site and user; also those whose membership was taken back."""

    async def revoke_member(self, number: int, who: str, reason: str, note: Note) -> MemberRow:
        """Take a membership back, and with it the tokens of that user there. Raises ``not-found``."""

    async def open_token(self, new: NewToken, most: int, note: Note) -> TokenRow:
        """From now on this token is good, for as long as its parent at most. Raises ``too-large`` when its user would
        have more than `most`, and ``unauthorized`` when the parent is not good."""

    async def tokens(self, whose: Whose) -> tuple[TokenRow, ...]:
        """The newest first; also those that are not good any more."""

    async def token(self, number: int) -> TokenRow:
        """Raises ``not-found``."""

    async def revoke_token(self, number: int, who: str, note: Note) -> TokenRow:
        """It is not good any more, nor are those that were made with it. Raises ``not-found``."""

    async def people(self) -> tuple[tuple[MemberRow, ...], tuple[TokenRow, ...]]:
        """Every membership and every token that is good now."""

    async def retire_people(self, before: float, limit: int) -> int:
        """Delete up to so many of the tokens that had ended before that time, and of the memberships that a login took
        back before it, those of users who still own jobs or credentials there left out; returns how many."""

    async def used_tokens(self, used: Mapping[int, float]) -> None:
        """Note when tokens were used last."""
