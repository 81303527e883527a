"""Pilots by what people call them."""

from __future__ import annotations

import sqlite3

from central.records import PilotRow
from central.store.decide import LEAST_OF_STAMP
from central.store.sqlite.pilots import record

# Those that live first, then the newest; an operator's community is NULL. Stamps are of hex digits, `g` comes after.
CALLED = """
    SELECT * FROM pilots_whole
    WHERE id IN (
        SELECT id FROM pilots WHERE reference = :name AND reference <> ''
        UNION SELECT id FROM pilots WHERE instance IN (:name, 'vm ' || :name) AND instance <> ''
        UNION SELECT id FROM pilots WHERE length(:name) >= :least AND stamp >= :name AND stamp < :name || 'g')
      AND (:site IS NULL OR site = :site)
      AND (:community IS NULL OR :community IN (SELECT value FROM json_each(communities)))
    ORDER BY ended IS NOT NULL, id DESC LIMIT :limit
"""


def called(
    db: sqlite3.Connection, community: str | None, site: str | None, name: str, limit: int
) -> tuple[PilotRow, ...]:
    values = {"community": community, "site": site, "name": name, "least": LEAST_OF_STAMP, "limit": limit}
    return tuple(record(db, found) for found in db.execute(CALLED, values).fetchall())
