"""Figures for Prometheus, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from pilot.states import JobState, PilotState

if TYPE_CHECKING:
    from central.http import Route

MEDIA = CONTENT_TYPE_LATEST
#: From a cached answer to a held match request.
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class _Commits(Collector):
    """What the store's writer counts."""

    def __init__(self, commits: Callable[[], tuple[int, int]]) -> None:
        self._commits = commits

    def collect(self) -> Iterator[Metric]:
        commits, verbs = self._commits()
        yield CounterMetricFamily("pilotage_store_commits", "Durable commits of the store", commits)
        yield CounterMetricFamily("pilotage_store_verbs", "Changes that these commits made durable", verbs)


class Metrics:
    """What one central counts. `commits` gives the store's commits, and the changes in them, so far."""

    def __init__(self, commits: Callable[[], tuple[int, int]]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Commits(commits))
        self._requests = Counter(
            "pilotage_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "pilotage_request_seconds",
            "Time until the answer began",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._of_route: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}  # to find the labels' rows quickly
        self.leases = Counter("pilotage_leases", "Leases given to pilots", registry=self.registry)
        self.unmatched = Counter(
            "pilotage_unmatched", "Match requests answered without a job", ("reason",), registry=self.registry
        )
        self.held = Gauge("pilotage_held_requests", "Match requests that wait now", registry=self.registry)
        self.submitted = Counter("pilotage_jobs_submitted", "Jobs accepted", registry=self.registry)
        self.ended = Counter("pilotage_attempts_ended", "Attempts ended", ("outcome",), registry=self.registry)
        self.log_bytes = Counter("pilotage_log_bytes", "Log bytes stored", registry=self.registry)
        self.sandbox_bytes = Counter("pilotage_sandbox_bytes", "Sandbox bytes taken in", registry=self.registry)
        self._jobs = Gauge("pilotage_jobs", "Jobs by state", ("state",), registry=self.registry)
        self._pilots = Gauge("pilotage_pilots", "Pilots by state", ("state",), registry=self.registry)

    def request(self, route: Route[Any], status: int, seconds: float) -> None:
        """A request was answered."""
        key = (route.method, route.path, status)
        rows = self._of_route.get(key)
        if rows is None:
            answered = self._requests.labels(route.method, route.path, str(status))
            rows = self._of_route[key] = (answered, self._seconds.labels(route.path))
        rows[0].inc()
        rows[1].observe(seconds)

    def text(self, counts: Mapping[str, Mapping[str, int]]) -> bytes:
        """Everything as Prometheus reads it. `counts` is what the store counts now."""
        for job in JobState:
            self._jobs.labels(job.value).set(counts.get("jobs", {}).get(job.value, 0))
        for pilot in PilotState:
            self._pilots.labels(pilot.value).set(counts.get("pilots", {}).get(pilot.value, 0))
        return generate_latest(self.registry)
