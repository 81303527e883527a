"""Everything that a central keeps, to be compared: what an attack may not have changed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Collection

import pytest

from tests import chosen_store
from tests.integration.running_central import RunningCentral, until

#: What changes by itself: who leads, what the audit says of refusals, when somebody was heard last.
BY_ITSELF = frozenset({"leaders", "audit", "audit_links", "audit_starts", "hosts"})
SEEN = frozenset({"last_seen", "used"})
Kept = dict[str, str]


def kept(central: RunningCentral) -> Kept:
    """Each table and each object, by a digest."""
    if chosen_store.NAME != "sqlite":
        pytest.skip("what a central keeps is read from its file of SQLite")
    database = sqlite3.connect(f"file:{central.folder / 'central.db'}?mode=ro", uri=True)
    try:
        tables = [str(name) for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {table: _digest(database, table) for table in tables if table not in BY_ITSELF}
    finally:
        database.close()
    objects = central.folder / "objects"
    files = sorted(path for path in objects.rglob("*") if path.is_file())
    found |= {str(path.relative_to(objects)): _hash(path.read_bytes()) for path in files}
    return found


def _digest(database: sqlite3.Connection, table: str) -> str:
    columns = [str(row[1]) for row in database.execute(f'PRAGMA table_info("{table}")') if row[1] not in SEEN]
    names = ", ".join(f'"{name}"' for name in columns)
    return _hash(repr(database.execute(f'SELECT {names} FROM "{table}" ORDER BY {names}').fetchall()).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unchanged(central: RunningCentral, attack: Callable[[], object], own: Collection[str] = ()) -> None:
    """Make an attack, and hold that the central keeps the same afterwards as before. What was still on its way into the
    store before is waited for. `own`: tables with rows that are the attacker's."""
    seen: list[Kept] = [kept(central)]

    def quiet() -> bool:
        central.person("ann").get("/v1/jobs")
        seen.append(kept(central))
        return len(seen) > 20 and all(one == seen[-1] for one in seen[-20:])

    until(quiet, "the store to be quiet")
    attack()
    after = kept(central)
    assert {name for name in {*after, *seen[-1]} if after.get(name) != seen[-1].get(name)} <= set(own)
