"""Which files a payload's token opens: the inputs and the checkpoint of its job, remembered from the match."""

from __future__ import annotations

from collections import OrderedDict

from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import InputFile, JobSpec

_KEPT = 50_000


class Inputs:
    """The digests of the files that live attempts begin with."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[tuple[int, int], frozenset[str]] = OrderedDict()

    def remember(self, job: int, attempt: int, spec: JobSpec, checkpoint: tuple[InputFile, ...] = ()) -> frozenset[str]:
        """An attempt was leased."""
        digests = frozenset(file.sha256 for file in (*spec.inputs, *checkpoint))
        self._known[job, attempt] = digests
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return digests

    def forget(self, job: int, attempt: int) -> None:
        self._known.pop((job, attempt), None)

    async def of(self, job: int, attempt: int) -> frozenset[str]:
        """The digests that an attempt may read. Raises ``stale-attempt`` when it is over."""
        live = await self._store.live_attempt(job, attempt)
        if (job, attempt) in self._known:
            return self._known[job, attempt]
        for leased in await self._store.answered(live.stamp, live.agent, live.request) or ():
            self.remember(leased.job, leased.attempt, leased.spec, leased.checkpoint)
        if (job, attempt) not in self._known:
            raise Refusal("stale-attempt", f"attempt {attempt} of job {job} is over")
        return self._known[job, attempt]
