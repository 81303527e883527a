"""Queues and sites that get no pilots because an operator, or an admin of the site, said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.people import SiteAdmins
from central.records import Pause
from central.store.decide import check_stop

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# The time is NULL for this server's.
OPEN = """
    SELECT queue, who, reason, since, until, site FROM pauses
    WHERE ended IS NULL AND (until IS NULL OR until > coalesce($1, extract(epoch FROM clock_timestamp())))
    ORDER BY site COLLATE "C", queue COLLATE "C"
"""
ONE = """
    SELECT queue, who, reason, since, until, site FROM pauses
    WHERE ended IS NULL AND (until IS NULL OR until > $1) AND queue = $2 AND site = $3
"""
# Whoever pauses, resumes or tries a queue takes turns, also with those at other centrals: what was looked at still
# holds when something is made of it.
ALONE = "LOCK TABLE pauses IN SHARE ROW EXCLUSIVE MODE"
EXPIRE = "UPDATE pauses SET ended = until WHERE ended IS NULL AND until <= $1"
END = "UPDATE pauses SET ended = $1, ended_by = $2 WHERE queue = $3 AND site = $4 AND ended IS NULL RETURNING id"
BEGIN = "INSERT INTO pauses (queue, site, who, reason, since, until) VALUES ($1, $2, $3, $4, $5, $6)"


async def pause(
    db: Database,
    now: float,
    queue: str,
    site: str,
    who: str,
    reason: str,
    seconds: float | None,
    admins: SiteAdmins | None,
) -> None:
    await resume(db, now, queue, site, who, admins)
    await db.execute(BEGIN, queue, site, who, reason, now, None if seconds is None else now + seconds)


async def resume(db: Database, now: float, queue: str, site: str, who: str, admins: SiteAdmins | None) -> bool:
    await db.execute(ALONE)
    found = await db.fetchrow(ONE, now, queue, site)
    if found is not None:
        check_stop(Pause(**found), admins)
    await db.execute(EXPIRE, now)
    return await db.fetchval(END, now, who, queue, site) is not None


async def pauses(db: Database, now: float | None) -> tuple[Pause, ...]:
    return tuple(Pause(**row) for row in await db.fetch(OPEN, now))
