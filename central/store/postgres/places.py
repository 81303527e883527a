"""Sites and queues that operators added while the central runs: every version, the newest of a name counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.added import PlaceRow
from central.store.decide import no_place, still_used
from pilot.states import LIVE_PILOT

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

OF_NAME = """
    SELECT kind, name, version, text, who, created, note FROM places WHERE kind = $1 AND name = $2 ORDER BY version DESC
"""
ALL = """
    SELECT kind, name, version, text, who, created, note FROM (
        SELECT DISTINCT ON (kind, name) * FROM places ORDER BY kind, name, version DESC
    ) AS newest
    WHERE text <> '' ORDER BY kind, name
"""
# Two who change one name take turns.
ALONE = "LOCK TABLE places IN SHARE ROW EXCLUSIVE MODE"
KEEP = "INSERT INTO places (kind, name, version, text, who, created, note) VALUES ($1, $2, $3, $4, $5, $6, $7)"
LIVE = "SELECT count(*) FROM pilots WHERE queue = $1 AND state = ANY ($2::text[])"


async def keep(db: Database, now: float, kind: str, name: str, text: str, who: str, note: str) -> PlaceRow:
    await db.execute(ALONE)
    rows = await history(db, kind, name)
    if rows and rows[0].text == text:
        return rows[0]
    return await _add(db, PlaceRow(kind, name, rows[0].version + 1 if rows else 1, text, who, now, note))


async def remove(db: Database, now: float, kind: str, name: str, who: str) -> PlaceRow:
    await db.execute(ALONE)
    rows = await history(db, kind, name)
    if not rows or not rows[0].text:
        raise no_place(kind, name)
    if kind == "queue" and (live := await db.fetchval(LIVE, name, sorted(LIVE_PILOT))):
        raise still_used(name, int(live))
    return await _add(db, PlaceRow(kind, name, rows[0].version + 1, "", who, now, "removed"))


async def _add(db: Database, row: PlaceRow) -> PlaceRow:
    await db.execute(KEEP, row.kind, row.name, row.version, row.text, row.who, row.created, row.note)
    return row


async def places(db: Database) -> tuple[PlaceRow, ...]:
    return tuple(PlaceRow(**found) for found in await db.fetch(ALL))


async def history(db: Database, kind: str, name: str) -> tuple[PlaceRow, ...]:
    return tuple(PlaceRow(**found) for found in await db.fetch(OF_NAME, kind, name))
