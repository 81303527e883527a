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
        self._looked_up: dict[int, list[JobChanged]] = {}  # job → what is told once it is known whose it is, in order

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
        unknown: list[int] = []
        for event in events:
            if event.job in self._looked_up:
                self._looked_up[event.job].append(event)
            elif (community := self._communities.get(event.job)) is not None:
                self._hub.publish((community,), event)
            else:
                self._looked_up[event.job] = [event]
                unknown.append(event.job)
        if unknown:
            background(self._look_and_tell(unknown))

    async def _look_and_tell(self, jobs: Sequence[int]) -> None:
        """Of jobs that another central has leased, or that were leased before this one started."""
        for job in jobs:
            community = await self._community(job)
            events = self._looked_up.pop(job)
            if community is not None:
                self.remember(job, community)
                self._hub.publish((community,), *events)

    async def _community(self, job: int) -> str | None:
        try:
            return (await self._store.job(None, job)).job.community
        except (PilotageError, OSError) as error:
            log.warning("Those who watch were not told of a job", extra={"fields": {"job": job, "error": error}})
            return None
