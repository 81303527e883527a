"""Which communities have which stored files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

SIZE = "SELECT size FROM sandboxes WHERE community = $1 AND sha256 = $2"
ADD = "INSERT INTO sandboxes (community, sha256, size, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"


async def sandbox(db: Database, community: str, sha256: str) -> int | None:
    size: int | None = await db.fetchval(SIZE, community, sha256)
    return size


async def add_sandbox(db: Database, now: float, community: str, sha256: str, size: int) -> None:
    await db.execute(ADD, community, sha256, size, now)
