"""Queues and sites that get no pilots because an operator, or an admin of the site, said so."""

from __future__ import annotations

import sqlite3

from central.people import SiteAdmins
from central.records import Pause
from central.store.decide import check_stop

OPEN = """
    SELECT queue, who, reason, since, until, site FROM pauses
    WHERE ended IS NULL AND (until IS NULL OR until > ?) ORDER BY site, queue
"""
ONE = """
    SELECT queue, who, reason, since, until, site FROM pauses
    WHERE ended IS NULL AND (until IS NULL OR until > ?) AND queue = ? AND site = ?
"""
EXPIRE = "UPDATE pauses SET ended = until WHERE ended IS NULL AND until <= ?"
END = "UPDATE pauses SET ended = ?, ended_by = ? WHERE queue = ? AND site = ? AND ended IS NULL"
BEGIN = "INSERT INTO pauses (queue, site, who, reason, since, until) VALUES (?, ?, ?, ?, ?, ?)"


def pause(
    db: sqlite3.Connection,
    now: float,
    queue: str,
    site: str,
    who: str,
    reason: str,
    seconds: float | None,
    admins: SiteAdmins | None,
) -> None:
    resume(db, now, queue, site, who, admins)
    db.execute(BEGIN, (queue, site, who, reason, now, None if seconds is None else now + seconds))


def resume(db: sqlite3.Connection, now: float, queue: str, site: str, who: str, admins: SiteAdmins | None) -> bool:
    found = db.execute(ONE, (now, queue, site)).fetchone()
    if found is not None:
        check_stop(Pause(*found), admins)
    db.execute(EXPIRE, (now,))
    return db.execute(END, (now, who, queue, site)).rowcount > 0


def pauses(db: sqlite3.Connection, now: float) -> tuple[Pause, ...]:
    return tuple(Pause(*row) for row in db.execute(OPEN, (now,)))
