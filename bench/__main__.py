"""Runs every measurement, one after another: `python -m bench`."""

from __future__ import annotations

from bench import (
    heartbeats,
    jobs,
    latency,
    matching,
    memory,
    queue_curves,
    queue_engine,
    queue_https,
    restart,
    size,
    start,
    submission,
)

for measurement in (
    size,
    start,
    memory,
    latency,
    matching,
    submission,
    jobs,
    queue_engine,
    queue_curves,
    queue_https,
    heartbeats,
    restart,
):
    measurement.main()
