"""The part of the client that is about pilots and the queues that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

import msgspec

from pilot.queues import (
    BanSiteRequest,
    PauseQueueRequest,
    QueueExplanation,
    QueuePage,
    QueueView,
    ResumeQueueRequest,
    SitePage,
    SiteView,
    UnbanSiteRequest,
)
from pilot.states import OrderVerb, PilotState
from pilot.views import (
    OrderReply,
    OrderRequest,
    PilotDetail,
    PilotExplanation,
    PilotPage,
    PilotView,
)
from pilotage.asking import Asking, joined
from pilotage.transport import Request

PAGE = 500
#: Kind of the queues whose pilots no director sends.
EXTERNAL = "external"


class PilotsPart(Asking):
    """Pilots, queues and sites; orders to pilots, for operators and site admins."""

    def pilots(self, states: Iterable[PilotState] = (), queue: str | None = None) -> Iterator[PilotView]:
        """All pilots that fit, newest first, fetched page by page."""
        query: dict[str, str | int | None] = {
            "states": joined(state.value for state in states),
            "queue": queue,
            "limit": PAGE,
        }
        while True:
            page = self._get(PilotPage, "/v1/pilots", query)
            yield from page.pilots
            if not page.next:
                return
            query["cursor"] = page.next

    def vms(self, states: Iterable[PilotState] = (), queue: str | None = None) -> Iterator[PilotView]:
        """Pilots that are on virtual machines, of one queue or of all that have some; of each queue the newest first.

        Also machines that somebody started by hand: these are of external queues.
        """
        wanted = tuple(states)
        names = [queue] if queue else [one.name for one in self.queues() if one.flavor or one.kind == EXTERNAL]
        for name in names:
            yield from (pilot for pilot in self.pilots(wanted, name) if pilot.machine)

    def vms_called(self, name: str) -> tuple[PilotView, ...]:
        """Pilots on virtual machines that their cloud calls so, or whose stamp begins so: those that live first."""
        page = self._get(PilotPage, "/v1/pilots", {"name": name, "limit": PAGE})
        return tuple(pilot for pilot in page.pilots if pilot.machine)

    def pilot(self, stamp: str) -> PilotDetail:
        """One pilot whole: its steps, what it found out, what it runs, its logs."""
        return self._get(PilotDetail, f"/v1/pilots/{stamp}")

    def drain(self, stamp: str, reason: str = "", *, deadline: int | None = None) -> int:
        """Let a pilot finish what it runs, take nothing new, and end. For operators and site admins. Returns the
        order's number.

        `deadline`: seconds after which it must be over. What still runs shortly before then saves its checkpoint.
        """
        return self._order(stamp, OrderVerb.DRAIN, reason, deadline)

    def halt(self, stamp: str, reason: str = "", *, deadline: int | None = None) -> int:
        """Let a pilot stop everything and end; its jobs go back to their queue. For operators and site admins.

        `deadline`: seconds that all of it may take.
        """
        return self._order(stamp, OrderVerb.HALT, reason, deadline)

    def _order(self, stamp: str, verb: OrderVerb, reason: str, deadline: int | None) -> int:
        argument = "" if deadline is None else str(deadline)
        body = msgspec.json.encode(OrderRequest(verb, argument, reason))
        return self._transport.ask(OrderReply, Request("POST", f"/v1/pilots/{stamp}/orders", body=body)).order

    def queues(self) -> tuple[QueueView, ...]:
        """The configured queues: pilots, demand, and what the director decided."""
        return self._get(QueuePage, "/v1/queues").queues

    def pause_queue(self, queue: str, reason: str, seconds: float | None = None) -> QueueView:
        """Have no pilots sent to a queue for so long, or until it is resumed; those that are there go on. For
        operators."""
        body = msgspec.json.encode(PauseQueueRequest(reason, seconds))
        return self._transport.ask(QueueView, Request("POST", f"/v1/queues/{quote(queue, safe='')}/pause", body=body))

    def resume_queue(self, queue: str) -> QueueView:
        """Have pilots sent to a queue again. For operators and site admins."""
        request = Request(
            "POST", f"/v1/queues/{quote(queue, safe='')}/resume", body=msgspec.json.encode(ResumeQueueRequest())
        )
        return self._transport.ask(QueueView, request)

    def sites(self) -> tuple[SiteView, ...]:
        """The configured sites and their queues, and which of them are banned."""
        return self._get(SitePage, "/v1/sites").sites

    def ban_site(self, site: str, reason: str, seconds: float | None = None) -> SiteView:
        """Have no pilots sent to any queue of a site for so long, or until the ban is lifted. For operators and its
        admins."""
        body = msgspec.json.encode(BanSiteRequest(reason, seconds))
        return self._transport.ask(SiteView, Request("POST", f"/v1/sites/{quote(site, safe='')}/ban", body=body))

    def unban_site(self, site: str) -> SiteView:
        """Have pilots sent to a site again. For operators and its admins."""
        body = msgspec.json.encode(UnbanSiteRequest())
        return self._transport.ask(SiteView, Request("POST", f"/v1/sites/{quote(site, safe='')}/unban", body=body))

    def explain_queue(self, queue: str) -> QueueExplanation:
        """Why the director of a queue sends pilots, or none."""
        return self._get(QueueExplanation, f"/v1/queues/{quote(queue, safe='')}/explain")

    def explain_pilot(self, stamp: str) -> PilotExplanation:
        """Why a pilot gets nothing."""
        return self._get(PilotExplanation, f"/v1/pilots/{stamp}/explain")
