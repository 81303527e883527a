"""An attempt together with the standing of its job and its pilot: what decides how it goes on."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

_SELECT = """
    SELECT attempts.job, attempts.attempt, attempts.community, attempts.pilot, attempts.site, attempts.cores,
           attempts.phase, attempts.started, attempts.closed, attempts.usage, attempts.limits,
           pilots.stamp, pilots.queue, pilots.host,
           jobs.attempt, jobs.state, jobs.queue, jobs."group", jobs.owner, jobs.priority, jobs.retries,
           jobs.retries_used, jobs.blameless_ends,
           EXISTS (SELECT 1 FROM hosts WHERE hosts.site = attempts.site AND hosts.host = pilots.host),
           (SELECT summing FROM usage_summed)
    FROM attempts
    JOIN pilots ON pilots.id = attempts.pilot
    JOIN jobs ON jobs.id = attempts.job
"""
ATTEMPT = f"{_SELECT} WHERE attempts.job = ? AND attempts.attempt = ?"
OUT_ON = f"{_SELECT} WHERE attempts.pilot = ? AND attempts.phase <> 'ended' ORDER BY attempts.job"


class Attempt(NamedTuple):
    """A row of these statements; fields read faster than columns by their names."""

    job: int
    attempt: int
    community: str
    pilot: int
    site: str
    cores: int
    phase: str
    started: float
    closed: str | None
    usage: str  # JSON
    limits: str | None  # JSON
    stamp: str
    pilot_queue: str
    host: str
    current: int
    job_state: str
    queue: int
    group: str
    owner: str
    priority: int
    retries: int
    retries_used: int
    blameless_ends: int
    noted: int  # whether something is known against the machine
    summing: int  # hours before this one have their sums, or are being summed


def attempt(db: sqlite3.Connection, job: int, attempt: int) -> Attempt | None:
    row = db.execute(ATTEMPT, (job, attempt)).fetchone()
    return None if row is None else Attempt._make(row)


def out_on(db: sqlite3.Connection, pilot: int) -> list[Attempt]:
    """What a pilot (by its row's id) has out."""
    return [Attempt._make(row) for row in db.execute(OUT_ON, (pilot,)).fetchall()]
