"""Sites and queues that operators added while the central runs: every version, the newest of a name counts."""

from __future__ import annotations

import sqlite3

from central.added import PlaceRow
from central.store import codec
from central.store.decide import no_place, still_used
from pilot.states import LIVE_PILOT

OF_NAME = """
    SELECT kind, name, version, text, who, created, note FROM places WHERE kind = ? AND name = ? ORDER BY version DESC
"""
ALL = """
    SELECT kind, name, version, text, who, created, note FROM places AS one
    WHERE text <> '' AND version = (
        SELECT max(version) FROM places WHERE kind = one.kind AND name = one.name
    )
    ORDER BY kind, name
"""
KEEP = "INSERT INTO places (kind, name, version, text, who, created, note) VALUES (?, ?, ?, ?, ?, ?, ?)"
LIVE = "SELECT count(*) FROM pilots WHERE queue = ? AND state IN (SELECT value FROM json_each(?))"


def keep(db: sqlite3.Connection, now: float, kind: str, name: str, text: str, who: str, note: str) -> PlaceRow:
    rows = history(db, kind, name)
    if rows and rows[0].text == text:
        return rows[0]
    return _add(db, PlaceRow(kind, name, rows[0].version + 1 if rows else 1, text, who, now, note))


def remove(db: sqlite3.Connection, now: float, kind: str, name: str, who: str) -> PlaceRow:
    rows = history(db, kind, name)
    if not rows or not rows[0].text:
        raise no_place(kind, name)
    if kind == "queue" and (live := db.execute(LIVE, (name, codec.text(sorted(LIVE_PILOT)))).fetchone()[0]):
        raise still_used(name, live)
    return _add(db, PlaceRow(kind, name, rows[0].version + 1, "", who, now, "removed"))


def _add(db: sqlite3.Connection, row: PlaceRow) -> PlaceRow:
    db.execute(KEEP, (row.kind, row.name, row.version, row.text, row.who, row.created, row.note))
    return row


def places(db: sqlite3.Connection) -> tuple[PlaceRow, ...]:
    return tuple(PlaceRow(*found) for found in db.execute(ALL))


def history(db: sqlite3.Connection, kind: str, name: str) -> tuple[PlaceRow, ...]:
    return tuple(PlaceRow(*found) for found in db.execute(OF_NAME, (kind, name)))
