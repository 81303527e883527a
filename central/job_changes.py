"""Tells those who watch what becomes of jobs at a pilot: each community of its own jobs, and of no others.

A pilot may serve several communities, and what it reports has the numbers of jobs alone.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from central.events import Hub, JobChanged
from central.store.port import Store
from pilot.errors import PilotageError

log = logging.getLogger(__name__)
#: Jobs whose community is remembered (some 100 bytes each): about as many as run.
KEPT = 200_000


class JobChanges:
    """`background` does something beside the request that is answered."""

    def __init__(self, store: Store, hub: Hub, kept: int = KEPT) -> None:
        self._store = store
        self._hub = hub
        self._kept = kept
        self._communities: OrderedDict[int, str] = OrderedDict()

    def remember(self, job: int, community: str) -> None:
        """A job was leased here."""
        self._communities[job] = community
        if len(self._communities) > self._kept:
            self._communities.popitem(last=False)

    def tell(
        self,
        serving: Sequence[str],
        events: Iterable[JobChanged],
        background: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """This has become of jobs at a pilot that serves these communities."""
        if len(serving) == 1:
            self._hub.publish(serving, *events)
            return
        unknown = []
        for event in events:
            community = self._communities.get(event.job)
            if community is None:
                unknown.append(event)
            else:
                self._hub.publish((community,), event)
        if unknown:
            background(self._look_and_tell(unknown))

    async def _look_and_tell(self, events: Sequence[JobChanged]) -> None:
        """Of jobs that another central has leased, or that were leased before this one started."""
        for event in events:
            try:
                community = (await self._store.job(None, event.job)).job.community
            except PilotageError as error:
                fields = {"job": event.job, "error": error}
                log.warning("Those who watch were not told of a job", extra={"fields": fields})
                continue
            self.remember(event.job, community)
            self._hub.publish((community,), event)
