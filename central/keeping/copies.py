"""Backup and restore of the database: a consistent copy while it is served, and putting one back."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from central.configuration import settings_file
from central.configuration.settings import is_postgresql
from central.databases import shown
from central.folder import Folder
from central.store.sqlite.backup import backup as copy
from pilot.errors import PilotageError

#: What SQLite keeps beside a database that was not closed; it belongs to that database alone.
_BESIDE = ("-wal", "-shm")


def backup(folder: Folder, target: Path) -> None:
    """Write a copy of the database to a new file, also while a central serves it."""
    database = _database(folder)
    if not database.exists():
        raise PilotageError(f"{database}: there is no database to copy yet; it is made by the first `serve`")
    copy(database, target)


def restore(folder: Folder, source: Path) -> Path | None:
    """Put a copy in the place of the database. Returns where the one before it is kept, None when there was none."""
    database = _database(folder)
    with folder.lock():
        _check(source)
        incoming = database.with_name(f".{database.name}.restored")
        shutil.copyfile(source, incoming)
        incoming.chmod(0o600)
        kept = None
        if database.exists():
            kept = database.with_name(f"{database.name}.before-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
            for ending in ("", *_BESIDE):
                beside = database.with_name(database.name + ending)
                if beside.exists():
                    beside.replace(kept.with_name(kept.name + ending))
        incoming.replace(database)
    return kept


def _database(folder: Folder) -> Path:
    """The file that the settings name. Raises `PilotageError` where they name a server."""
    service = settings_file.load(folder.settings).service
    if is_postgresql(service.database):
        raise PilotageError(
            f"the jobs of this central are in {shown(service.database)}: copy that with pg_dump, also while it is in"
            " use, and put it back with pg_restore while no central works on it"
        )
    return folder.database(service)


def _check(source: Path) -> None:
    """Refuse what is no sound database."""
    try:
        with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute("PRAGMA quick_check").fetchone()[0]
            versions = database.execute("SELECT count(*) FROM schema_version").fetchone()[0]
    except sqlite3.Error as error:
        raise PilotageError(f"{source}: this is not a copy that `backup` wrote ({error})") from error
    if found != "ok" or not versions:
        raise PilotageError(f"{source}: the copy is damaged ({found}); use another")
