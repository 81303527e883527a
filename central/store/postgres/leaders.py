"""Who leads a background duty, by the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.store.postgres.transactions import NOW

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# Compare-and-set: whoever waits here for another's commit sees what that one wrote, and loses.
LEAD = """
    INSERT INTO leaders AS leader (duty, holder, epoch, until) VALUES ($1, $2, 1, $3::float8 + $4::float8)
    ON CONFLICT (duty) DO UPDATE
    SET holder = excluded.holder,
        until = excluded.until,
        epoch = CASE WHEN leader.until > $3 THEN leader.epoch ELSE leader.epoch + 1 END
    WHERE leader.holder = excluded.holder OR leader.until <= $3
    RETURNING epoch
"""
# For an effect that only the leader may have: a successor has to wait until the effect is written.
LEADS = "SELECT true FROM leaders WHERE duty = $1 AND epoch = $2 AND until > $3 FOR SHARE"


async def now(db: Database) -> float:
    return float(await db.fetchval(NOW))


async def lead(db: Database, now: float, duty: str, holder: str, seconds: float) -> int | None:
    """An epoch lasts while its holder renews in time. Whoever comes after a gap, the same one too, gets a new one: in
    the gap somebody may have counted on there being no leader."""
    epoch: int | None = await db.fetchval(LEAD, duty, holder, now, seconds)
    return epoch


async def leads(db: Database, now: float, duty: str, epoch: int) -> bool:
    """Whether that epoch leads, and will until this transaction is over."""
    return bool(await db.fetchval(LEADS, duty, epoch, now))
