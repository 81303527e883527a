"""Connections to the database file, and what SQLite's errors mean to whoever asked."""

from __future__ import annotations

import math
import os
import sqlite3
from pathlib import Path

from pilot.errors import PilotageError, Refusal

#: Seconds to wait for another process that writes (a restore that looks in, a second central by mistake).
BUSY_TIMEOUT = 5.0
#: Seconds after which one who was refused because the disk is full or busy may ask again.
RETRY_AFTER = 5.0
#: Pages that the writer keeps in memory, in KiB.
WRITER_CACHE = 64 * 1024
#: Pages of the journal after which it goes into the file: what is written again and again goes there once.
JOURNAL_PAGES = 4000
#: Bytes of the journal that are kept after a large transaction.
JOURNAL_LIMIT = 64 * 1024 * 1024

# Something behind is away, for now: nothing was written, and the same again later may well succeed.
_TRANSIENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,  # what a file system becomes after an error of its disk
    }
)


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the file for the one thread that writes; it is made, for its owner alone, when it is not there."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise PilotageError(f"The database {path} cannot be opened: {error.strerror}.") from error
    database = _connect(path)
    try:
        mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise PilotageError(
                f"The database {path} is on a file system without shared memory (journal mode {mode}, expected wal): "
                "put it on a local disk."
            )
        database.execute("PRAGMA synchronous = FULL")  # an answer is given after its bytes are on the disk
        database.execute(f"PRAGMA cache_size = -{WRITER_CACHE}")
        database.execute(f"PRAGMA wal_autocheckpoint = {JOURNAL_PAGES}")
        database.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT}")
    except sqlite3.DatabaseError as error:
        database.close()
        raise PilotageError(f"{path} cannot be used as a database: {error}.") from error
    except PilotageError:
        database.close()
        raise
    return database


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading; in WAL a reader never waits for the writer."""
    database = _connect(path)
    database.execute("PRAGMA query_only = ON")
    return database


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: transactions are begun and ended in writer.py and readers.py, nowhere else.
    database = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA trusted_schema = OFF")
    try:
        database.execute("SELECT exp(1)")
    except sqlite3.OperationalError:  # a build without mathematical functions
        database.create_function("exp", 1, math.exp, deterministic=True)
    return database


def closed() -> Refusal:
    """What one hears who asks a store that is not open any more."""
    return Refusal("busy", "The central is shutting down. Repeat this when it is back.", retry_after=RETRY_AFTER)


def understood(error: Exception) -> Exception:
    """What to tell the one who asked: `busy` when SQLite failed for a reason that passes, else the error itself."""
    if isinstance(error, OverflowError):  # of the binding: SQLite's integers have 64 bits
        return Refusal("invalid", "A number is beyond what the central can keep: expected less than 2^63.")
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _TRANSIENT:
        return Refusal(
            "busy",
            f"The central's database cannot do this now ({error}); nothing was changed. Repeat it later.",
            retry_after=RETRY_AFTER,
        )
    return error
