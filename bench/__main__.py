"""Runs every measurement, one after another: `python -m bench`."""

from __future__ import annotations

from bench import (
    containers,
    detection,
    heart,
    heartbeats,
    jobs,
    latency,
    logs,
    logs_kept,
    matching,
    memory,
    queue_curves,
    queue_engine,
    queue_https,
    restart,
    size,
    slots,
    stageout,
    start,
    submission,
    waste,
    watchdog,
)

for measurement in (
    size,
    start,
    detection,
    memory,
    latency,
    logs,
    logs_kept,
    slots,
    stageout,
    containers,
    watchdog,
    matching,
    submission,
    jobs,
    queue_engine,
    queue_curves,
    queue_https,
    heartbeats,
    heart,
    restart,
    waste,
):
    measurement.main()
