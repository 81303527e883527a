"""Queues that get no pilots because an operator said so."""

from __future__ import annotations

import sqlite3

from central.records import Pause

OPEN = "SELECT queue, who, reason, since FROM pauses WHERE ended IS NULL ORDER BY queue"
END = "UPDATE pauses SET ended = ?, ended_by = ? WHERE queue = ? AND ended IS NULL"
BEGIN = "INSERT INTO pauses (queue, who, reason, since) VALUES (?, ?, ?, ?)"


def pause(db: sqlite3.Connection, now: float, queue: str, who: str, reason: str) -> None:
    db.execute(END, (now, who, queue))
    db.execute(BEGIN, (queue, who, reason, now))


def resume(db: sqlite3.Connection, now: float, queue: str, who: str) -> bool:
    return db.execute(END, (now, who, queue)).rowcount > 0


def pauses(db: sqlite3.Connection) -> tuple[Pause, ...]:
    return tuple(Pause(*row) for row in db.execute(OPEN))
