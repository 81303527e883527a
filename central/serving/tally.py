"""What is counted at every request, in plain numbers: one event loop counts, so that nothing needs a lock or labels.

Prometheus reads it all the same. Its own counters take as long as opening a token.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

#: Bounds of seconds: from a cached answer to a held match request.
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class _Times:
    """How long the answers of one route took: one number for each bound, one for those beyond."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: how many took so long at most."""
        found: list[tuple[str, float]] = []
        upto = 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            upto += count
            found.append((bound, upto))
        return found


class Tally(Collector):
    """Requests answered, requests that wait, and leases given. The latter two are counted by whoever knows."""

    def __init__(self) -> None:
        self.held = 0
        self.leases = 0
        self._answered: dict[tuple[str, str, int], int] = {}  # method, route, status
        self._times: dict[str, _Times] = {}  # route

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        self._answered[key] = self._answered.get(key, 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = _Times()
        times.counts[bisect_left(SECONDS, seconds)] += 1
        times.total += seconds

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("pilotage_requests", "Requests answered", labels=("method", "route", "status"))
        for (method, route, status), count in list(self._answered.items()):
            requests.add_metric((method, route, str(status)), count)
        yield requests
        seconds = HistogramMetricFamily("pilotage_request_seconds", "Time until the answer began", labels=("route",))
        for route, times in list(self._times.items()):
            seconds.add_metric((route,), times.buckets(), times.total)
        yield seconds
        yield CounterMetricFamily("pilotage_leases", "Leases given to pilots", self.leases)
        yield GaugeMetricFamily("pilotage_held_requests", "Match requests that wait now", self.held)
