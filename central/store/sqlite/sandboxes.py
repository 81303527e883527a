"""Which communities have which stored files."""

from __future__ import annotations

import sqlite3

from central.people import Sender

SIZE = "SELECT size FROM sandboxes WHERE community = ? AND sha256 = ?"
ADD = """
    INSERT INTO sandboxes (community, sha256, size, created, owner)
    VALUES (?, ?, ?, ?, coalesce((SELECT owner FROM jobs WHERE id = ?), ?)) ON CONFLICT DO NOTHING
"""
BYTES = "SELECT coalesce(sum(size), 0) FROM sandboxes WHERE community = ? AND owner = ?"


def sandbox(db: sqlite3.Connection, community: str, sha256: str) -> int | None:
    found = db.execute(SIZE, (community, sha256)).fetchone()
    return int(found[0]) if found else None


def add_sandbox(db: sqlite3.Connection, now: float, community: str, sha256: str, size: int, sender: Sender) -> None:
    db.execute(ADD, (community, sha256, size, now, sender.job, sender.user))


def sandbox_bytes(db: sqlite3.Connection, community: str, owner: str) -> int:
    return int(db.execute(BYTES, (community, owner)).fetchone()[0])
