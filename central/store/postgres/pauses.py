"""Queues and sites that get no pilots because an operator said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import Pause

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# The time is NULL for this server's.
OPEN = """
    SELECT queue, who, reason, since, until, site FROM pauses
    WHERE ended IS NULL AND (until IS NULL OR until > coalesce($1, extract(epoch FROM clock_timestamp())))
    ORDER BY site COLLATE "C", queue COLLATE "C"
"""
# Two who pause one queue take turns.
ALONE = "LOCK TABLE pauses IN SHARE ROW EXCLUSIVE MODE"
EXPIRE = "UPDATE pauses SET ended = until WHERE ended IS NULL AND until <= $1"
END = "UPDATE pauses SET ended = $1, ended_by = $2 WHERE queue = $3 AND site = $4 AND ended IS NULL RETURNING id"
BEGIN = "INSERT INTO pauses (queue, site, who, reason, since, until) VALUES ($1, $2, $3, $4, $5, $6)"


async def pause(db: Database, now: float, queue: str, site: str, who: str, reason: str, seconds: float | None) -> None:
    await db.execute(ALONE)
    await resume(db, now, queue, site, who)
    await db.execute(BEGIN, queue, site, who, reason, now, None if seconds is None else now + seconds)


async def resume(db: Database, now: float, queue: str, site: str, who: str) -> bool:
    await db.execute(EXPIRE, now)
    return await db.fetchval(END, now, who, queue, site) is not None


async def pauses(db: Database, now: float | None) -> tuple[Pause, ...]:
    return tuple(Pause(**row) for row in await db.fetch(OPEN, now))
