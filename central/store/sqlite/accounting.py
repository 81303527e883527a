"""Accounting: a row for each attempt that ended, and their sums by the hour."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from central.store.accounts import HOUR, Measured, summable
from central.store.sqlite.out import Attempt
from pilot.states import Outcome

ADD = """
    INSERT INTO accounting (job, attempt, community, "group", owner, site, queue, pilot, cores, started, ended, wall,
                            cpu, memory_peak, outcome)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# An end in an hour that was summed already, or is being summed (the clock was set back): it is summed again, and so are
# later ones.
REOPEN = "UPDATE usage_summed SET until = min(until, :hour), summing = :hour WHERE summing > :hour"
SUMMED = "SELECT until, summing FROM usage_summed"
BEGIN = "UPDATE usage_summed SET summing = max(until, ?)"
SUMS = """
    SELECT CAST(ended / 3600 AS INTEGER) * 3600, community, "group", owner, site,
           count(*), count(*) FILTER (WHERE outcome = 'success'), sum(cores * wall), total(cpu),
           max(coalesce(memory_peak, 0)), total(cores * wall) FILTER (WHERE outcome <> 'success')
    FROM accounting
    WHERE ended >= ? AND ended < ?
    GROUP BY 1, 2, 3, 4, 5
"""
FORGET = "DELETE FROM usage_hours WHERE hour >= ? AND hour < ?"
KEEP = "INSERT INTO usage_hours VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
END = "UPDATE usage_summed SET until = summing"


@dataclass(frozen=True)
class Used:
    """What an attempt has used that ends now."""

    row: Attempt
    outcome: Outcome
    measured: Measured


def book(db: sqlite3.Connection, now: float, ended: Sequence[Used]) -> None:
    """Write it down."""
    rows = [_line(now, one) for one in ended]
    if len(rows) == 1:
        db.execute(ADD, rows[0])
    elif rows:
        db.executemany(ADD, rows)
    hour = int(now // HOUR) * HOUR
    if ended and ended[0].row.summing > hour:
        db.execute(REOPEN, {"hour": hour})


def _line(now: float, one: Used) -> tuple[Any, ...]:
    row, used = one.row, one.measured
    whose = (row.job, row.attempt, row.community, row.group, row.owner, row.site, row.pilot_queue, row.pilot)
    return (*whose, row.cores, row.started, now, used.wall, used.cpu, used.memory_peak, one.outcome)


@dataclass(frozen=True)
class Sums:
    """What ended in the hours of [since, until), by hour and keys: rows of usage_hours."""

    since: int
    until: int
    rows: Sequence[tuple[Any, ...]]


def begin_sums(db: sqlite3.Connection, now: float) -> None:
    """Say which hours will be summed. Summing takes long: it is done beside the writer, by the next two."""
    db.execute(BEGIN, (summable(now),))


def sums(db: sqlite3.Connection) -> Sums:
    since, until = db.execute(SUMMED).fetchone()
    return Sums(since, until, [tuple(row) for row in db.execute(SUMS, (since, until))] if since < until else [])


def keep_sums(db: sqlite3.Connection, now: float, made: Sums) -> int:
    """Write them down, unless something has ended in those hours meanwhile: then they are summed the next time."""
    if tuple(db.execute(SUMMED).fetchone()) != (made.since, made.until) or made.since == made.until:
        return 0
    db.execute(FORGET, (made.since, made.until))
    db.executemany(KEEP, made.rows)
    db.execute(END)
    return len({row[0] for row in made.rows})


def summed(db: sqlite3.Connection) -> int:
    """All hours before this one have their sums."""
    until: int = db.execute(SUMMED).fetchone()[0]
    return until
