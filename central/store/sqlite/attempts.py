"""What happens to an attempt after the claim: reports, ends, and what goes back to the queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from central.records import Ended, LiveAttempt, Requeued
from central.store import codec
from central.store.accounts import measured
from central.store.decide import End, Standing, check_job, stale, verdict
from central.store.sqlite import accounting, hosts, limits
from central.store.sqlite.accounting import Used
from central.store.sqlite.matching import held
from central.store.sqlite.out import Attempt, out_on
from central.store.sqlite.out import attempt as find
from pilot.errors import Refusal
from pilot.protocol import AttemptReport, LeaseReport
from pilot.states import LEASED, PHASE_ORDER, JobState, Outcome, Phase

ADVANCE = "UPDATE attempts SET phase = ? WHERE job = ? AND attempt = ? AND phase = ?"
EVENT = "INSERT INTO attempt_events (job, attempt, phase, time, message) VALUES (?, ?, ?, ?, ?)"
# An attempt is over. What the pilot measured last stays when its end came without figures.
CLOSE = """
    UPDATE attempts
    SET phase = 'ended', closed = ?, ended = ?, outcome = ?, report = ?, usage = coalesce(?, usage)
    WHERE job = ? AND attempt = ? AND phase <> 'ended'
"""
# The job follows its attempt: compare-and-set on attempt and state.
MOVE = "UPDATE jobs SET state = ?, changed = ? WHERE id = ? AND attempt = ? AND state = ?"
SETTLE = """
    UPDATE jobs
    SET state = ?, changed = ?, outcome = ?, exit_code = ?, reason = ?, retries_used = ?, blameless_ends = ?
    WHERE id = ? AND attempt = ? AND state = ?
"""
# The end of an attempt whose job was killed under it.
NOTE_OUTCOME = "UPDATE jobs SET outcome = ?, exit_code = ? WHERE id = ? AND attempt = ?"
BACK = "UPDATE jobs SET state = 'waiting', changed = ?, reason = ? WHERE id = ? AND attempt = ? AND state = ?"


def report(
    db: sqlite3.Connection, now: float, stamp: str, job: int, attempt: int, report: AttemptReport
) -> Ended | None:
    row = _of(db, stamp, job, attempt)
    if row is None:
        raise stale(job, attempt)
    if row.closed == "reported":
        return None
    if row.closed:
        raise stale(job, attempt)
    if PHASE_ORDER[report.phase] <= PHASE_ORDER[Phase(row.phase)]:
        return None
    if report.phase is not Phase.ENDED:
        _advance(db, now, row, report)
        return None
    if report.outcome is None:
        raise Refusal("invalid", "outcome: expected how the attempt ended, got nothing")
    ended = _end(db, now, row, report.outcome, report, "reported")
    accounting.book(db, now, [Used(row, report.outcome, measured(report.usage, True, row.started, now))])
    return ended


def _of(db: sqlite3.Connection, stamp: str, job: int, attempt: int) -> Attempt | None:
    """The attempt, if there is such a one. Raises ``not-yours`` when it is another pilot's."""
    row = find(db, job, attempt)
    if row is not None and row.stamp != stamp:
        raise Refusal("not-yours", f"Attempt {attempt} of job {job} was leased to another pilot.")
    return row


def _advance(db: sqlite3.Connection, now: float, row: Attempt, report: AttemptReport) -> None:
    job, attempt, state = row.job, row.attempt, JobState(row.job_state)
    db.execute(ADVANCE, (report.phase, job, attempt, row.phase))
    db.execute(EVENT, (job, attempt, report.phase, now, report.message))
    if _runs(row):
        new = JobState(report.phase.value)
        check_job(job, state, new)
        db.execute(MOVE, (new, now, job, attempt, state))


def _runs(row: Attempt) -> bool:
    """Whether the attempt still decides about its job: it is the current one, and nobody killed the job."""
    return row.current == row.attempt and JobState(row.job_state) in LEASED


def _end(db: sqlite3.Connection, now: float, row: Attempt, outcome: Outcome, end: AttemptReport, closed: str) -> Ended:
    """Close an attempt with an outcome, and move its job on. It is to be booked."""
    job, attempt, state = row.job, row.attempt, JobState(row.job_state)
    _close(db, now, row, end, closed)
    hosts.ended(db, now, row, outcome)
    if not _runs(row):
        db.execute(NOTE_OUTCOME, (outcome, end.exit_code, job, attempt))
        return Ended(job, attempt, state)
    decided = verdict(Standing(attempt, row.retries, row.retries_used, row.blameless_ends), outcome, end)
    check_job(job, state, decided.state)
    after = (decided.state, now, outcome, end.exit_code, decided.reason, decided.retries_used, decided.blameless_ends)
    db.execute(SETTLE, (*after, job, attempt, state))
    return Ended(job, attempt, decided.state, _counted(row) if decided.state is JobState.WAITING else None)


def _close(db: sqlite3.Connection, now: float, row: Attempt, end: AttemptReport, closed: str) -> None:
    usage = codec.text(end.usage) if closed == "reported" else None
    db.execute(CLOSE, (closed, now, end.outcome, codec.text(end), usage, row.job, row.attempt))
    limits.freed(db, row)


def end_all(db: sqlite3.Connection, now: float, pilot: int, end: End) -> tuple[Ended, ...]:
    """End everything that a pilot (by its row's id) has out, in the central's name."""
    word = AttemptReport(Phase.ENDED, end.outcome, message=end.message, code=end.code)
    ended: list[Ended] = []
    used: list[Used] = []
    for row in out_on(db, pilot):
        ended.append(_end(db, now, row, end.outcome, word, "given-up"))
        used.append(Used(row, end.outcome, measured(codec.usage(row.usage), False, row.started, now)))
    accounting.book(db, now, used)
    return tuple(ended)


def release(
    db: sqlite3.Connection, now: float, stamp: str, leases: Sequence[tuple[int, int]], why: str
) -> tuple[Requeued, ...]:
    message = f"given back unstarted: {why}" if why else "given back unstarted"
    back: list[Requeued] = []
    for job, attempt in leases:
        row = _of(db, stamp, job, attempt)
        if row is None or row.closed:  # it was given back before, or has ended since
            continue
        if Phase(row.phase) is not Phase.MATCHED:
            raise Refusal("conflict", f"Attempt {attempt} of job {job} has started: report how it ends.")
        back += _put_back(db, now, row, message)
    return tuple(back)


def unseen(
    out: Sequence[LiveAttempt], matched_through: Mapping[int, int], listed: Sequence[LeaseReport]
) -> tuple[LiveAttempt, ...]:
    """The leases of answers that the pilot says it has seen and that it does not list."""
    known = {(lease.job, lease.attempt) for lease in listed}
    return tuple(
        live
        for live in out
        if live.request <= matched_through.get(live.agent, -1) and (live.job, live.attempt) not in known
    )


def return_unseen(
    db: sqlite3.Connection, now: float, stamp: str, matched_through: Mapping[int, int], listed: Sequence[LeaseReport]
) -> tuple[Requeued, ...]:
    back: list[Requeued] = []
    for live in unseen(held(db, stamp), matched_through, listed):
        if (row := find(db, live.job, live.attempt)) is not None:
            back += _put_back(db, now, row, "given back: the pilot does not hold it")
    return tuple(back)


def _put_back(db: sqlite3.Connection, now: float, row: Attempt, message: str) -> list[Requeued]:
    """Close an attempt that nobody is charged for; its job waits again, unless it was killed."""
    _close(db, now, row, AttemptReport(Phase.ENDED, message=message), "returned")
    if not _runs(row):
        return []
    state = JobState(row.job_state)
    check_job(row.job, state, JobState.WAITING)
    db.execute(BACK, (now, f"attempt {row.attempt} was {message}", row.job, row.attempt, state))
    return [_counted(row)]


def _counted(row: Attempt) -> Requeued:
    """The attempt's job as the matcher counts it."""
    return Requeued(row.queue, row.job, row.priority)
