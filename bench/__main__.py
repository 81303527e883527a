"""Runs every measurement, one after another: `python -m bench`."""

from __future__ import annotations

from bench import jobs, latency, matching, memory, size, start, submission

for measurement in (size, start, memory, latency, matching, submission, jobs):
    measurement.main()
