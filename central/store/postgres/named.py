"""Pilots by what people call them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import PilotRow
from central.store.decide import LEAST_OF_STAMP
from central.store.postgres.connection import plain
from central.store.postgres.pilots import record

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# Those that live first, then the newest; an operator's community is NULL. Stamps are of hex digits, `g` comes after;
# it is compared byte by byte, whatever the collation of this database.
CALLED = """
    SELECT * FROM pilots_whole
    WHERE id = ANY (ARRAY(
        SELECT id FROM pilots WHERE reference = $1 AND reference <> ''
        UNION SELECT id FROM pilots WHERE instance IN ($1, 'vm ' || $1) AND instance <> ''
        UNION SELECT id FROM pilots WHERE length($1) >= $2 AND stamp ~>=~ $1 AND stamp ~<~ ($1 || 'g')))
      AND ($3::text IS NULL OR site = $3)
      AND CASE WHEN $4::text IS NULL OR communities::jsonb ? $4 THEN true END
    ORDER BY ended IS NOT NULL, id DESC LIMIT $5
"""


async def called(db: Database, community: str | None, site: str | None, name: str, limit: int) -> tuple[PilotRow, ...]:
    rows = await db.fetch(CALLED, plain(name), LEAST_OF_STAMP, site, community, limit)
    return tuple(map(record, rows))
