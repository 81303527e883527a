"""Bring a database to the schema of this program: numbered SQL files, each applied once, all in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from pilot.errors import PilotageError

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

#: Seconds that all of it may take: a new index over ten million jobs takes minutes.
PATIENCE = 3600.0

UNHURRIED = "SET LOCAL statement_timeout = 0"
# Centrals that start together wait here for the first: the numbers are drawn once, and mean this program.
LOCK = "SELECT pg_advisory_xact_lock(5016247, 1)"
_VERSION_TABLE = "CREATE TABLE schema_version (version integer PRIMARY KEY, applied double precision NOT NULL)"
# Whose database it is: ours has the table, a new one has nothing at all.
_TABLES = """
    SELECT count(*) AS tables, count(*) FILTER (WHERE tablename = 'schema_version') AS ours
    FROM pg_tables WHERE schemaname = current_schema()
"""
_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"
_APPLIED = "INSERT INTO schema_version (version, applied) VALUES ($1, $2)"


def steps() -> tuple[str, ...]:
    """The migrations of this program, in order: the first makes version 1."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return tuple(entry.read_text("utf-8") for entry in files)


async def migrate(db: Database, now: float, url: str, scripts: Sequence[str]) -> None:
    """Apply what is missing. Raises `PilotageError` for a newer schema, and for a database that is somebody else's."""
    await db.execute(UNHURRIED)
    await db.execute(LOCK, timeout=PATIENCE)
    version = await _version(db, url)
    if version > len(scripts):
        raise PilotageError(
            f"The database {url} has schema {version}, and this program knows schemas up to {len(scripts)}: a newer "
            "one has used it. Start that one, or restore a backup made before the upgrade."
        )
    for number, script in enumerate(scripts[version:], version + 1):
        await db.execute(script, timeout=PATIENCE)
        await db.execute(_APPLIED, number, now)


async def _version(db: Database, url: str) -> int:
    found = await db.fetchrow(_TABLES)
    if found is None or not found["tables"]:
        await db.execute(_VERSION_TABLE)
    elif not found["ours"]:
        raise PilotageError(f"{url} is a database of something else (it has no table schema_version): choose another.")
    return int(await db.fetchval(_VERSION))
