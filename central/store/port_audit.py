"""The part of the store's port that is about the audit and its chain. Lines are added by `note`, beside others."""

from __future__ import annotations

from typing import Protocol

from central.auditing import AuditQuery, StoredChain, Unlinked
from pilot.audit import AuditLine, AuditLink, AuditStart


class AuditStore(Protocol):
    """Who did what, and the links by which it can be seen that nothing of it was changed."""

    async def audit(self, query: AuditQuery, limit: int) -> tuple[AuditLine, ...]:
        """The newest first."""

    async def unlinked(self, limit: int) -> Unlinked:
        """Lines after the newest link, the oldest first. No line will ever come to be before the last of them."""

    async def link(self, link: AuditLink) -> bool:
        """Add a link. False: it does not follow the newest, as another central has linked meanwhile."""

    async def audit_link(self, number: int) -> AuditLink | None:
        """One link."""

    async def chain(self, after: int, limit: int) -> StoredChain:
        """Up to so many links with higher numbers, and the lines that are there."""

    async def old_link(self, before: float, limit: int) -> AuditLink | None:
        """The newest of the `limit` oldest links that was made before that time, and is not the newest of all."""

    async def let_go(self, start: AuditStart) -> int:
        """Delete the links up to that start, with their lines; returns how many lines. Starts before it go as well."""
