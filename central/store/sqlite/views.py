"""One job and its attempts, as their owner sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from central.store.decide import unknown_job
from central.store.rows import attempt_view, end_of, job_detail
from pilot.states import PHASE_ORDER, Phase
from pilot.views import AttemptView, Event, JobDetail

JOB = "SELECT * FROM jobs_whole WHERE id = :job AND (:community IS NULL OR community = :community)"
SEEN = "SELECT 1 FROM jobs WHERE id = :job AND (:community IS NULL OR community = :community)"
ATTEMPTS = "SELECT * FROM attempts_whole WHERE job = ? ORDER BY attempt"
EVENTS = "SELECT attempt, phase, time, message FROM attempt_events WHERE job = ?"


def job(db: sqlite3.Connection, community: str | None, job: int) -> JobDetail:
    row = db.execute(JOB, {"job": job, "community": community}).fetchone()
    if row is None:
        raise unknown_job(job)
    return job_detail(row)


def attempts(db: sqlite3.Connection, community: str | None, job: int) -> tuple[AttemptView, ...]:
    if not db.execute(SEEN, {"job": job, "community": community}).fetchone():
        raise unknown_job(job)
    events: dict[int, dict[Phase, Event]] = {}
    for attempt, phase, time, message in db.execute(EVENTS, (job,)):
        events.setdefault(attempt, {})[Phase(phase)] = Event(time, Phase(phase), message)
    return tuple(_view(row, events.get(row["attempt"], {})) for row in db.execute(ATTEMPTS, (job,)))


def _view(row: sqlite3.Row, events: Mapping[Phase, Event]) -> AttemptView:
    end = end_of(row)
    return attempt_view(row, end, _history(row, events, end.message))


def _history(row: sqlite3.Row, events: Mapping[Phase, Event], last_words: str) -> tuple[Event, ...]:
    """The phases that the attempt came to, in order. Its beginning and its end are events in old databases only."""
    history = {Phase.MATCHED: Event(row["started"], Phase.MATCHED, "")}
    if row["ended"] is not None:
        history[Phase.ENDED] = Event(row["ended"], Phase.ENDED, last_words)
    history.update(events)
    return tuple(sorted(history.values(), key=lambda event: (event.time, PHASE_ORDER[event.phase])))
