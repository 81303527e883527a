"""Bring a database to the schema of this program: numbered SQL files, each applied once, each a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from pilot.errors import PilotageError

_VERSION_TABLE = "CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY, applied REAL NOT NULL) STRICT"
# Whose file it is: ours has the table, a new one has nothing at all.
_TABLES = "SELECT count(*), count(*) FILTER (WHERE name = 'schema_version') FROM sqlite_master WHERE type = 'table'"
_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"
_APPLIED = "INSERT INTO schema_version (version, applied) VALUES (?, ?)"


def steps() -> tuple[str, ...]:
    """The migrations of this program, in order: the first makes version 1."""
    folder = resources.files(__package__) / "migrations"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return tuple(entry.read_text("utf-8") for entry in files)


def migrate(database: sqlite3.Connection, path: Path, scripts: Sequence[str], now: float) -> None:
    """Apply what is missing. Raises `PilotageError` for a newer schema, and for a file that is somebody else's."""
    database.execute("BEGIN IMMEDIATE")  # a second process that opens the file waits here
    try:
        version = _version(database, path)
        if version > len(scripts):
            raise PilotageError(
                f"The database {path} has schema {version}, and this program knows schemas up to {len(scripts)}: a "
                "newer one has used it. Start that one, or restore a backup made before the upgrade."
            )
        for number, script in enumerate(scripts[version:], version + 1):
            for statement in _statements(script):
                database.execute(statement)
            database.execute(_APPLIED, (number, now))
        database.execute("COMMIT")
    except BaseException:  # whatever stops it, the file stays as it was
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _version(database: sqlite3.Connection, path: Path) -> int:
    tables, ours = database.execute(_TABLES).fetchone()
    if not tables:
        database.execute(_VERSION_TABLE)
    elif not ours:
        raise PilotageError(f"{path} is a database of something else (it has no table schema_version): choose another.")
    version: int = database.execute(_VERSION).fetchone()[0]
    return version


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: `executescript` would commit what was begun."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
