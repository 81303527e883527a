"""The limits on what runs, with their counters; the one writer keeps these exact."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from central.records import Limit, LimitUse, Pick
from central.store import codec
from central.store.limiting import Counting, Place, check, counts, demanded_tags
from central.store.sqlite.out import Attempt

# By their names one after another: a job counts against few, and that takes half the time of a list in JSON.
ONE = "SELECT definition, attempts, cores FROM limits WHERE name = ?"
ALL = "SELECT definition, attempts, cores FROM limits ORDER BY name"
KEEP = "UPDATE limits SET attempts = ?, cores = ? WHERE name = ?"
LESS = "UPDATE limits SET attempts = attempts - 1, cores = cores - ? WHERE name = ?"
FORGET = "DELETE FROM limits"
ADD = "INSERT INTO limits (name, definition, attempts, cores) VALUES (?, ?, ?, ?)"
# Every attempt that is out, with what limits may ask for.
OUT = """
    SELECT attempts.job, attempts.attempt, attempts.limits, attempts.cores, attempts.site, pilots.queue,
           jobs.community, jobs."group", jobs.owner, task_queues.needs
    FROM attempts INDEXED BY attempts_out
    CROSS JOIN pilots ON pilots.id = attempts.pilot
    CROSS JOIN jobs ON jobs.id = attempts.job
    CROSS JOIN task_queues ON task_queues.id = jobs.queue
    WHERE attempts.phase <> 'ended'
"""
REWRITE = "UPDATE attempts SET limits = ? WHERE job = ? AND attempt = ?"


def counting(db: sqlite3.Connection, picks: Iterable[Pick]) -> Counting:
    """The limits that these picks name, as full as they are."""
    rows = [db.execute(ONE, (name,)).fetchone() for name in {name for pick in picks for name in pick.limits}]
    return Counting(_use(row) for row in rows if row is not None)


def keep(db: sqlite3.Connection, counting: Counting) -> None:
    """Write the counters that a claim has raised."""
    db.executemany(KEEP, [(use.attempts, use.cores, use.limit.name) for use in counting.changed])


def freed(db: sqlite3.Connection, row: Attempt) -> None:
    """An attempt is out no more: it counts against nothing."""
    if row.limits is not None:
        db.executemany(LESS, [(row.cores, name) for name in codec.texts(row.limits)])


def names_text(names: Sequence[str]) -> str | None:
    """The names that an attempt counts against, as they are kept with it."""
    return codec.text(names) if names else None


def set_limits(db: sqlite3.Connection, now: float, limits: Sequence[Limit]) -> None:
    check(limits)
    attempts: Counter[str] = Counter()
    cores: Counter[str] = Counter()
    for row in db.execute(OUT).fetchall():
        place = _place(row)
        names = sorted(limit.name for limit in limits if counts(limit, place))
        attempts.update(names)
        cores.update(dict.fromkeys(names, row["cores"]))
        if names_text(names) != row["limits"]:
            db.execute(REWRITE, (names_text(names), row["job"], row["attempt"]))
    db.execute(FORGET)
    rows = [(limit.name, codec.text(limit), attempts[limit.name], cores[limit.name]) for limit in limits]
    db.executemany(ADD, rows)


def limits(db: sqlite3.Connection) -> tuple[LimitUse, ...]:
    return tuple(_use(row) for row in db.execute(ALL))


def _use(row: sqlite3.Row) -> LimitUse:
    return LimitUse(codec.limit(row["definition"]), row["attempts"], row["cores"])


def _place(row: sqlite3.Row) -> Place:
    tags = demanded_tags(codec.needs(row["needs"]).tags)
    return Place(row["site"], row["queue"], row["community"], row["group"], row["owner"], tags)
