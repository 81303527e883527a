"""Which communities have which stored files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.people import Sender

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

SIZE = "SELECT size FROM sandboxes WHERE community = $1 AND sha256 = $2"
ADD = """
    INSERT INTO sandboxes (community, sha256, size, created, owner)
    VALUES ($1, $2, $3, $4, coalesce((SELECT owner FROM jobs WHERE id = $5), $6)) ON CONFLICT DO NOTHING
"""
BYTES = "SELECT coalesce(sum(size), 0)::bigint FROM sandboxes WHERE community = $1 AND owner = $2"


async def sandbox(db: Database, community: str, sha256: str) -> int | None:
    size: int | None = await db.fetchval(SIZE, community, sha256)
    return size


async def add_sandbox(db: Database, now: float, community: str, sha256: str, size: int, sender: Sender) -> None:
    await db.execute(ADD, community, sha256, size, now, sender.job, sender.user)


async def sandbox_bytes(db: Database, community: str, owner: str) -> int:
    return int(await db.fetchval(BYTES, community, owner))
