"""Who leads a background duty."""

from __future__ import annotations

import sqlite3

LEADER = "SELECT holder, epoch, until FROM leaders WHERE duty = ?"
TAKE = """
    INSERT INTO leaders (duty, holder, epoch, until) VALUES (:duty, :holder, :epoch, :until)
    ON CONFLICT (duty) DO UPDATE SET holder = :holder, epoch = :epoch, until = :until
"""


def lead(db: sqlite3.Connection, now: float, duty: str, holder: str, seconds: float) -> int | None:
    """An epoch lasts while its holder renews in time. Whoever comes after a gap, the same one too, gets a new one: in
    the gap somebody may have counted on there being no leader."""
    leader = db.execute(LEADER, (duty,)).fetchone()
    current = leader is not None and leader["until"] > now
    if current and leader["holder"] != holder:
        return None
    before = leader["epoch"] if leader is not None else 0
    epoch: int = before if current else before + 1
    db.execute(TAKE, {"duty": duty, "holder": holder, "epoch": epoch, "until": now + seconds})
    return epoch
