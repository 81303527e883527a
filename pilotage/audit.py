"""The part of the client that is about the audit: who did what, and the chain by which changes to it are seen."""

from __future__ import annotations

from collections.abc import Iterator

from pilot.audit import AuditChain, AuditLine, AuditPage
from pilotage.asking import Asking

#: Lines that are asked for at once.
PAGE = 1000


class AuditPart(Asking):
    """The audit. Community-admins see the lines of their community, operators all."""

    def audit(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        who: str | None = None,
        what: str | None = None,
        community: str | None = None,
        owner: str | None = None,
        subject: str | None = None,
        job: int | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditLine]:
        """Lines that fit all that is given, the newest first; `limit` None: all of them.

        Times are seconds since the epoch. `what` may be the first word alone: ``queue`` for ``queue.pause``.
        """
        query = {
            "since": None if since is None else repr(float(since)),
            "until": None if until is None else repr(float(until)),
            "who": who,
            "what": what,
            "community": community,
            "owner": owner,
            "subject": subject,
            "job": job,
        }
        before: int | None = None
        left = limit
        while left is None or left > 0:
            asked = PAGE if left is None else min(left, PAGE)
            page = self._get(AuditPage, "/v1/audit", {**query, "before": before, "limit": asked})
            yield from page.lines
            left = None if left is None else left - len(page.lines)
            before = page.next
            if before is None:
                return

    def audit_chain(self) -> Iterator[AuditChain]:
        """All links of the chain in order, each with the lines that are there, in parts. For operators."""
        after = 0
        while True:
            part = self._get(AuditChain, "/v1/audit/chain", {"after": after})
            yield part
            if not part.more:
                return
            after = part.links[-1].link.number
