"""The embedded store: one SQLite file, one writer, durable answers."""

from central.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
