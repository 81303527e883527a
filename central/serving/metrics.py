"""Figures for Prometheus, in a registry of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from central.clock import Clock
from central.serving.gathered import Neighbours, Together, encode
from central.serving.tally import Tally
from pilot.states import JobState, PilotState

log = logging.getLogger(__name__)
MEDIA = CONTENT_TYPE_LATEST
#: Seconds after which a worker shows the others what it has counted.
SHOWN = 5.0


class Registry(Protocol):
    """What figures are taken from."""

    def collect(self) -> Iterable[Metric]: ...


class _Commits(Collector):
    """What the store's writer counts."""

    def __init__(self, commits: Callable[[], tuple[int, int]]) -> None:
        self._commits = commits

    def collect(self) -> Iterator[Metric]:
        commits, verbs = self._commits()
        yield CounterMetricFamily("pilotage_store_commits", "Durable commits of the store", commits)
        yield CounterMetricFamily("pilotage_store_verbs", "Changes that these commits made durable", verbs)


class Metrics:
    """What one central counts. `commits` gives the store's commits, and the changes in them, so far.

    `neighbours` has the figures of other processes that serve the same folder; None: there are none.
    """

    def __init__(
        self, commits: Callable[[], tuple[int, int]], worker: int = 0, neighbours: Neighbours | None = None
    ) -> None:
        self._worker = worker
        self._neighbours = neighbours
        self._stored = CollectorRegistry(auto_describe=False)  # what is the same whoever is asked
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Commits(commits))
        self.tally = Tally()
        self.registry.register(self.tally)
        self.unmatched = Counter(
            "pilotage_unmatched", "Match requests answered without a job", ("reason",), registry=self.registry
        )
        self.submitted = Counter("pilotage_jobs_submitted", "Jobs accepted", registry=self.registry)
        self.ended = Counter("pilotage_attempts_ended", "Attempts ended", ("outcome",), registry=self.registry)
        self.log_bytes = Counter("pilotage_log_bytes", "Log bytes stored", registry=self.registry)
        self.sandbox_bytes = Counter("pilotage_sandbox_bytes", "Sandbox bytes taken in", registry=self.registry)
        self.failed = Counter(
            "pilotage_background_failures", "Work in the background that failed", ("work",), registry=self.registry
        )
        self._link = Gauge(
            "pilotage_audit_link",
            "The newest link of the audit's chain, where this central leads",
            registry=self.registry,
        )
        self._broken = Gauge(
            "pilotage_audit_broken", "1: the audit was found not to be as it was left", registry=self.registry
        )
        self._jobs = Gauge("pilotage_jobs", "Jobs by state", ("state",), registry=self._stored)
        self._pilots = Gauge("pilotage_pilots", "Pilots by state", ("state",), registry=self._stored)

    def chained(self, number: int, broken: bool) -> None:
        """The audit's chain is at this link."""
        self._link.set(number)
        self._broken.set(broken)

    def text(self, counts: Mapping[str, Mapping[str, int]]) -> bytes:
        """Everything as Prometheus reads it. `counts` is what the store counts now."""
        for job in JobState:
            self._jobs.labels(job.value).set(counts.get("jobs", {}).get(job.value, 0))
        for pilot in PilotState:
            self._pilots.labels(pilot.value).set(counts.get("pilots", {}).get(pilot.value, 0))
        return generate_latest(self._stored) + generate_latest(self._everywhere())

    def _everywhere(self) -> Registry:
        if self._neighbours is None:
            return self.registry
        return Together([(self._worker, self.registry.collect()), *self._neighbours.read()])

    async def show(self, clock: Clock) -> None:
        """Let the other processes see what this one counts, for as long as it lives."""
        while self._neighbours is not None:
            try:
                await asyncio.to_thread(self._neighbours.write, encode(self.registry.collect()))
            except OSError as error:
                log.warning("The figures of this worker could not be written: %s", error)
            await clock.sleep(SHOWN)
