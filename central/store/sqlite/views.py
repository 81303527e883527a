"""One job and its attempts, as their owner sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from central.store import codec
from central.store.sqlite.pages import job_view
from pilot.errors import Refusal
from pilot.protocol import AttemptReport
from pilot.states import PHASE_ORDER, Outcome, Phase
from pilot.views import AttemptView, Event, JobDetail

JOB = "SELECT * FROM jobs_whole WHERE id = :job AND (:community IS NULL OR community = :community)"
SEEN = "SELECT 1 FROM jobs WHERE id = :job AND (:community IS NULL OR community = :community)"
ATTEMPTS = "SELECT * FROM attempts_whole WHERE job = ? ORDER BY attempt"
EVENTS = "SELECT attempt, phase, time, message FROM attempt_events WHERE job = ?"


def job(db: sqlite3.Connection, community: str | None, job: int) -> JobDetail:
    row = db.execute(JOB, {"job": job, "community": community}).fetchone()
    if row is None:
        raise _unknown(job)
    spec = codec.filled(row["spec"], row["parameters"], row["inputs"])
    return JobDetail(
        job=job_view(row),
        command=spec.command,
        needs=spec.needs,
        retries=row["retries"],
        retries_used=row["retries_used"],
        blameless_ends=row["blameless_ends"],
        inputs=tuple(file.name for file in spec.inputs),
        outputs=tuple(rule.pattern for rule in spec.outputs),
    )


def attempts(db: sqlite3.Connection, community: str | None, job: int) -> tuple[AttemptView, ...]:
    if not db.execute(SEEN, {"job": job, "community": community}).fetchone():
        raise _unknown(job)
    events: dict[int, dict[Phase, Event]] = {}
    for attempt, phase, time, message in db.execute(EVENTS, (job,)):
        events.setdefault(attempt, {})[Phase(phase)] = Event(time, Phase(phase), message)
    return tuple(_view(row, events.get(row["attempt"], {})) for row in db.execute(ATTEMPTS, (job,)))


def _unknown(job: int) -> Refusal:
    """The same for a job that is not there and for one of another community."""
    return Refusal("not-found", f"There is no job {job} that you may see.")


def _view(row: sqlite3.Row, events: Mapping[Phase, Event]) -> AttemptView:
    end = codec.report(row["report"]) or AttemptReport(Phase.ENDED)
    return AttemptView(
        job=row["job"],
        attempt=row["attempt"],
        pilot=row["stamp"],
        site=row["site"],
        phase=Phase(row["phase"]),
        cores=row["cores"],
        started=row["started"],
        ended=row["ended"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        exit_code=end.exit_code,
        signal=end.signal,
        limit=end.limit,
        message=end.message,
        tail=end.tail,
        usage=codec.usage(row["usage"]),
        outputs=end.outputs,
        undelivered=end.undelivered,
        log_sizes=end.log_sizes,
        history=_history(row, events, end.message),
    )


def _history(row: sqlite3.Row, events: Mapping[Phase, Event], last_words: str) -> tuple[Event, ...]:
    """The phases that the attempt came to, in order. Its beginning and its end are events in old databases only."""
    history = {Phase.MATCHED: Event(row["started"], Phase.MATCHED, "")}
    if row["ended"] is not None:
        history[Phase.ENDED] = Event(row["ended"], Phase.ENDED, last_words)
    history.update(events)
    return tuple(sorted(history.values(), key=lambda event: (event.time, PHASE_ORDER[event.phase])))
