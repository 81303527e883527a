"""Machines on which jobs fail fast: what is kept of each, and whether it may have a job now."""

from __future__ import annotations

import sqlite3

from central.records import Suspicion
from central.store.rows import host_row
from central.store.sqlite.out import Attempt
from central.store.suspicion import FAILURES, HostRow, after_end, at_most, concerns, may_claim, suspicion, whose
from pilot.states import Outcome

COLUMNS = "failures, faults, owner, several, since, suspected, pause, next"
ONE = f"SELECT {COLUMNS} FROM hosts WHERE site = ? AND host = ?"  # noqa: S608 - a constant
SUSPECT = "SELECT * FROM suspects WHERE site = ? AND host = ?"
KEEP = """
    INSERT INTO hosts (site, host, failures, faults, owner, several, since, suspected, pause, next, changed)
    VALUES (:site, :host, :failures, :faults, :owner, :several, :since, :suspected, :pause, :next, :now)
    ON CONFLICT (site, host) DO UPDATE
    SET failures = :failures, faults = :faults, several = :several, suspected = :suspected, pause = :pause,
        next = :next, changed = :now
"""
CLEAR = "DELETE FROM hosts WHERE site = ? AND host = ?"
_FAILED = "attempts.outcome IN ({})".format(", ".join(f"'{one.value}'" for one in sorted(FAILURES)))
# Whether a job has failed on a machine before this attempt.
FAILED_THERE = f"""
    SELECT EXISTS (
        SELECT 1 FROM attempts JOIN pilots ON pilots.id = attempts.pilot
        WHERE attempts.job = ? AND attempts.attempt < ? AND attempts.site = ? AND pilots.host = ? AND {_FAILED}
    )
"""  # noqa: S608 - constants
# Of jobs that wait, as a condition: it has not failed on the machine.
NEW_THERE = f"""
    (attempt = 0 OR NOT EXISTS (
        SELECT 1 FROM attempts JOIN pilots ON pilots.id = attempts.pilot
        WHERE attempts.job = jobs.id AND attempts.site = ? AND pilots.host = ? AND {_FAILED}
    ))
"""  # noqa: S608 - constants
# A pilot says on which machine it is.
NAME = "UPDATE pilots SET host = :host WHERE stamp = :stamp AND host <> :host"


def ended(db: sqlite3.Connection, now: float, row: Attempt, outcome: Outcome) -> None:
    """Learn from the end of an attempt about the machine that it was on."""
    if not row.host:
        return
    place, seconds = (row.site, row.host), now - row.started
    # The attempts of a pilot end one after another: the first may be the first word against its machine.
    found = db.execute(ONE, place).fetchone() if row.noted or outcome is not Outcome.SUCCESS else None
    before = None if found is None else host_row(found)
    if not concerns(before, outcome, seconds):
        return
    again = row.attempt > 1 and bool(db.execute(FAILED_THERE, (row.job, row.attempt, *place)).fetchone()[0])
    after = after_end(before, outcome, seconds, whose(row.community, row.owner), now, again=again)
    if after is None:
        db.execute(CLEAR, place)
    elif after != before:
        db.execute(KEEP, {"site": row.site, "host": row.host, "now": now, **_values(after)})


def allowed(db: sqlite3.Connection, now: float, site: str, host: str, wanted: int) -> int:
    """How many of the wanted jobs a pilot on that machine may have."""
    found = db.execute(SUSPECT, (site, host)).fetchone() if host else None
    if found is None:
        return wanted
    row = host_row(found)
    return at_most(row, wanted) if may_claim(row, now, found["out"]) else 0


def held_against(db: sqlite3.Connection, site: str, host: str) -> Suspicion | None:
    """What is held against a machine."""
    found = db.execute(SUSPECT, (site, host)).fetchone() if host else None
    return None if found is None else suspicion(host_row(found), found["out"])


def name(db: sqlite3.Connection, stamp: str, host: str) -> None:
    """Keep on which machine a pilot is; an empty name is no news."""
    if host:
        db.execute(NAME, {"stamp": stamp, "host": host})


def _values(row: HostRow) -> dict[str, object]:
    return {
        "failures": row.failures,
        "faults": row.faults,
        "owner": row.owner,
        "several": int(row.several),
        "since": row.since,
        "suspected": row.suspected,
        "pause": row.pause,
        "next": row.next,
    }
