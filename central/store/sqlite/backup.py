"""A copy of a database that is in use."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from central.store.sqlite.connection import understood
from pilot.errors import PilotageError


def backup(source: Path, target: Path) -> None:
    """Write a consistent copy to a new file for its owner alone; it appears under its name once it is whole."""
    part = target.with_name(target.name + ".part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            _copy(source, part)
            os.link(part, target)  # unlike a rename it replaces nothing
        finally:
            part.unlink()
        _keep(target.parent)
    except FileExistsError:
        raise PilotageError(f"The backup {target} exists already: name a new file, or remove that one.") from None
    except OSError as error:
        raise PilotageError(f"The backup {target} cannot be written: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise understood(error) from error


def _copy(source: Path, part: Path) -> None:
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(part)) as copy:
        database.execute("PRAGMA query_only = ON")
        database.backup(copy)  # in one step: a snapshot, which in WAL holds up nobody
    _keep(part)


def _keep(path: Path) -> None:
    """Make sure that a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
