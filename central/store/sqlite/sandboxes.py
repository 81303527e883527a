"""Which communities have which stored files."""

from __future__ import annotations

import sqlite3

SIZE = "SELECT size FROM sandboxes WHERE community = ? AND sha256 = ?"
ADD = "INSERT INTO sandboxes (community, sha256, size, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"


def sandbox(db: sqlite3.Connection, community: str, sha256: str) -> int | None:
    found = db.execute(SIZE, (community, sha256)).fetchone()
    return int(found[0]) if found else None


def add_sandbox(db: sqlite3.Connection, now: float, community: str, sha256: str, size: int) -> None:
    db.execute(ADD, (community, sha256, size, now))
