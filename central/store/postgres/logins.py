"""ID tokens that were exchanged, until they are too old to be shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

FORGET = "DELETE FROM spent_id_tokens WHERE expires <= $1"
SPEND = """
    INSERT INTO spent_id_tokens (digest, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING digest
"""


async def spend(db: Database, now: float, digest: str, seconds: float) -> bool:
    await db.execute(FORGET, now)
    return await db.fetchval(SPEND, digest, now + seconds) is not None
