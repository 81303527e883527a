"""What is counted at every request, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from central.serving.tally import Tally


def test_what_was_counted_is_told_to_prometheus() -> None:
    """Requests by route and status, times in buckets that add up, leases, and requests that wait."""
    tally = Tally()
    for seconds in (0.0005, 0.001, 0.02, 99.0):
        tally.answered("POST", "/v1/jobs", 201, seconds)
    tally.answered("POST", "/v1/jobs", 422, 0.002)
    tally.leases += 3
    tally.held += 1
    registry = CollectorRegistry()
    registry.register(tally)
    lines = set(generate_latest(registry).decode().splitlines())

    assert lines >= {
        'pilotage_requests_total{method="POST",route="/v1/jobs",status="201"} 4.0',
        'pilotage_requests_total{method="POST",route="/v1/jobs",status="422"} 1.0',
        'pilotage_request_seconds_bucket{le="0.001",route="/v1/jobs"} 2.0',
        'pilotage_request_seconds_bucket{le="0.003",route="/v1/jobs"} 3.0',
        'pilotage_request_seconds_bucket{le="0.03",route="/v1/jobs"} 4.0',
        'pilotage_request_seconds_bucket{le="30.0",route="/v1/jobs"} 4.0',
        'pilotage_request_seconds_bucket{le="+Inf",route="/v1/jobs"} 5.0',
        'pilotage_request_seconds_count{route="/v1/jobs"} 5.0',
        "pilotage_leases_total 3.0",
        "pilotage_held_requests 1.0",
    }
