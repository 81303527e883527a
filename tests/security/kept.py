"""Everything that a central keeps, to be compared: what an attack may not have changed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

import pytest

from tests import chosen_store
from tests.integration.running_central import RunningCentral, until
from tests.integration.wire_pilot import SignedPilot

#: What changes by itself: who leads, what the audit says of refusals, when somebody was heard last.
BY_ITSELF = frozenset({"leaders", "audit", "audit_links", "audit_starts", "hosts"})
SEEN = frozenset({"last_seen", "used"})
Kept = dict[str, str]


def kept(central: RunningCentral, but: str = "") -> Kept:
    """Each table and each object, by a digest. `but`: the stamp of a pilot whose row does not count."""
    with closing(_opened(central)) as database:
        tables = [str(name) for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = {table: _digest(database, table, but) for table in tables if table not in BY_ITSELF}
    return found | _objects(central.folder / "objects")


def _objects(folder: Path) -> Kept:
    """Each file, but of a log the bytes alone: some time after its pilot has gone it gets another name."""
    files: dict[str, bytes] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        key = str(name.parent if name.parts[0] == "logs" else name)
        try:
            files[key] = files.get(key, b"") + path.read_bytes()
        except FileNotFoundError:  # it has just got the other name
            return _objects(folder)
    return {name: _hash(content) for name, content in files.items()}


def _opened(central: RunningCentral) -> sqlite3.Connection:
    if chosen_store.NAME != "sqlite":
        pytest.skip("what a central keeps is read from its file of SQLite")
    return sqlite3.connect(f"file:{central.folder / 'central.db'}?mode=ro", uri=True)


def _digest(database: sqlite3.Connection, table: str, but: str) -> str:
    columns = [str(row[1]) for row in database.execute(f'PRAGMA table_info("{table}")') if row[1] not in SEEN]
    names = ", ".join(f'"{name}"' for name in columns)
    where = f"WHERE stamp <> '{but}'" if "stamp" in columns else ""
    return _hash(repr(database.execute(f'SELECT {names} FROM "{table}" {where} ORDER BY {names}').fetchall()).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def written_down(central: RunningCentral, last: SignedPilot) -> None:
    """Wait until all that pilots have said so far is in the store: what `last` says now is written with it."""
    last.heartbeat()
    query = "SELECT sequence FROM pilots WHERE stamp = ?"

    def there() -> bool:
        with closing(_opened(central)) as database:
            return bool(database.execute(query, (last.stamp,)).fetchone() == (last.sequence,))

    until(there, "what pilots said to be in the store")


def unchanged(central: RunningCentral, attack: Callable[[], object], own: Collection[str] = ()) -> None:
    """Make an attack, and hold that the central keeps the same afterwards as before. What was still on its way into the
    store before is waited for, and so is what the attack may have brought on its way. `own`: tables with rows that are
    the attacker's."""
    last = central.pilot()
    written_down(central, last)
    seen: list[Kept] = [kept(central, last.stamp)]
    ann = central.person("ann")

    def quiet() -> bool:
        ann.get("/v1/jobs")
        seen.append(kept(central, last.stamp))
        return len(seen) > 20 and all(one == seen[-1] for one in seen[-20:])

    until(quiet, "the store to be quiet")
    attack()
    written_down(central, last)
    after = kept(central, last.stamp)
    assert {name for name in {*after, *seen[-1]} if after.get(name) != seen[-1].get(name)} <= set(own)
