"""Bundles that communities have published, and which of them are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import BundleRow, PinRow

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

ADD = """
    INSERT INTO bundles (community, name, sha256, size, manifest, who, created)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""
ALL = """
    SELECT community, name, sha256, size, manifest, who, created FROM bundles
    WHERE $1::text IS NULL OR community = $1 ORDER BY community, name, created, sha256
"""
KNOWN = "SELECT EXISTS (SELECT 1 FROM bundles WHERE sha256 = $1)"
# The same again is no news.
PIN = """
    INSERT INTO pins (community, name, sha256, who, created)
    SELECT $1::text, $2::text, $3::text, $4::text, $5::double precision
    WHERE $3 IS DISTINCT FROM (
        SELECT sha256 FROM pins WHERE community = $1 AND name = $2 ORDER BY id DESC LIMIT 1
    )
"""
PINS = """
    SELECT community, name, sha256, who, created FROM pins
    WHERE $1::text IS NULL OR community = $1 ORDER BY id
"""


async def add(db: Database, now: float, bundle: BundleRow) -> None:
    await db.execute(
        ADD, bundle.community, bundle.name, bundle.sha256, bundle.size, bundle.manifest, bundle.who, now
    )  # fmt: skip


async def bundles(db: Database, community: str | None) -> tuple[BundleRow, ...]:
    return tuple(BundleRow(*found) for found in await db.fetch(ALL, community))


async def known(db: Database, sha256: str) -> bool:
    return bool(await db.fetchval(KNOWN, sha256))


async def pin(db: Database, now: float, community: str, name: str, sha256: str, who: str) -> None:
    await db.execute(PIN, community, name, sha256, who, now)


async def pins(db: Database, community: str | None) -> tuple[PinRow, ...]:
    return tuple(PinRow(*found) for found in await db.fetch(PINS, community))
