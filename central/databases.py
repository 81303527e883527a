"""Which database a central works on: a file of SQLite in its folder, or PostgreSQL, which several centrals share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from central.configuration.settings import Service, is_postgresql, workers_problem
from central.folder import Folder
from central.store.port import Store
from pilot.errors import PilotageError


class CountedStore(Store, Protocol):
    """A store that counts its commits, for the figures."""

    def commits(self) -> tuple[int, int]:
        """Durable commits so far, and the changes in them."""


def shown(database: str) -> str:
    """The setting as logs may have it: without who connects, and without parameters."""
    if not is_postgresql(database):
        return database
    parts = urlsplit(database)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def open_database(folder: Folder, service: Service, wall: Callable[[], float]) -> CountedStore:
    """The store that the settings name, not opened yet. `wall` is the time of SQLite; a server has its own."""
    # Each is imported where it is wanted: neither waits for the other's library.
    if not is_postgresql(service.database):
        from central.store.sqlite import SqliteStore

        return SqliteStore(folder.database(service), wall)
    try:
        from central.store.postgres import PostgresStore
    except ImportError as error:
        raise PilotageError(
            f"central.toml: central.database: PostgreSQL needs the Python package {error.name or 'asyncpg'}, which is"
            " not installed"
        ) from error
    return PostgresStore(service.database)


def check_workers(service: Service) -> None:
    """Raises `PilotageError` when the settings ask for more processes than the database can bear."""
    if problem := workers_problem(service.workers, service.database):
        raise PilotageError(f"central.toml: central.workers: {problem}")
