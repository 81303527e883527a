"""Queues that get no pilots because an operator said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import Pause

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

OPEN = "SELECT queue, who, reason, since FROM pauses WHERE ended IS NULL ORDER BY queue"
# Two who pause one queue take turns.
ALONE = "LOCK TABLE pauses IN SHARE ROW EXCLUSIVE MODE"
END = "UPDATE pauses SET ended = $1, ended_by = $2 WHERE queue = $3 AND ended IS NULL RETURNING id"
BEGIN = "INSERT INTO pauses (queue, who, reason, since) VALUES ($1, $2, $3, $4)"


async def pause(db: Database, now: float, queue: str, who: str, reason: str) -> None:
    await db.execute(ALONE)
    await db.execute(END, now, who, queue)
    await db.execute(BEGIN, queue, who, reason, now)


async def resume(db: Database, now: float, queue: str, who: str) -> bool:
    return await db.fetchval(END, now, who, queue) is not None


async def pauses(db: Database) -> tuple[Pause, ...]:
    return tuple(Pause(**row) for row in await db.fetch(OPEN))
