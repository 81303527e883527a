"""The part of the client that is about use: what was used, how shares stand, how full limits are."""

from __future__ import annotations

from collections.abc import Iterable

from pilot.use import CostPage, LimitPage, LimitView, SharePage, UsagePage, WastePage
from pilotage.asking import Asking, joined


class UsagePart(Asking):
    """Use, shares and limits."""

    def usage(
        self,
        by: Iterable[str] = ("community", "group"),
        *,
        since: float | None = None,
        until: float | None = None,
        span: float | None = None,
        community: str | None = None,
    ) -> UsagePage:
        """What attempts that ended in [since, until) used together, told apart by community, group, owner or site.

        Times are seconds since the epoch, of the last seven days where none are given; `span` is in seconds, and makes
        a row for each. What still runs is not in it. An operator sees all communities, or the one named.
        """
        query = {
            "by": joined(by),
            "since": _number(since),
            "until": _number(until),
            "span": _number(span),
            "community": community,
        }
        return self._get(UsagePage, "/v1/usage", query)

    def waste(
        self,
        by: Iterable[str] = ("site",),
        *,
        since: float | None = None,
        until: float | None = None,
        community: str | None = None,
    ) -> WastePage:
        """Where the time of pilots went that ended in [since, until), told apart by site, queue, community or pilot.

        Times are as in `usage`. Without `until`, pilots that live now are among them.
        """
        query = {"by": joined(by), "since": _number(since), "until": _number(until), "community": community}
        return self._get(WastePage, "/v1/waste", query)

    def cost(
        self,
        by: Iterable[str] = ("site",),
        *,
        since: float | None = None,
        until: float | None = None,
        community: str | None = None,
    ) -> CostPage:
        """What machines cost in [since, until), told apart by community, site, queue, day or pilot.

        Times are as in `usage`. An operator sees all communities, or the one named.
        """
        query = {"by": joined(by), "since": _number(since), "until": _number(until), "community": community}
        return self._get(CostPage, "/v1/cost", query)

    def shares(self) -> SharePage:
        """What each community, group and owner is due, has used, and runs now."""
        return self._get(SharePage, "/v1/shares")

    def limits(self) -> tuple[LimitView, ...]:
        """The limits on what runs at the same time, and how full they are."""
        return self._get(LimitPage, "/v1/limits").limits


def _number(value: float | None) -> str | None:
    return None if value is None else repr(float(value))
