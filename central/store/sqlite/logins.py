"""ID tokens that were exchanged, until they are too old to be shown again."""

from __future__ import annotations

import sqlite3

FORGET = "DELETE FROM spent_id_tokens WHERE expires <= ?"
SPEND = "INSERT INTO spent_id_tokens (digest, expires) VALUES (?, ?) ON CONFLICT DO NOTHING"


def spend(db: sqlite3.Connection, now: float, digest: str, seconds: float) -> bool:
    db.execute(FORGET, (now,))
    return db.execute(SPEND, (digest, now + seconds)).rowcount == 1
