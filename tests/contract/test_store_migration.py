"""Databases that earlier versions left: they are brought forward whole or not at all, and answer as they did."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central.records import Consumed
from central.store.sqlite import SqliteStore
from central.store.sqlite.migrate import _statements, migrate, steps
from pilot.protocol import AttemptReport
from pilot.states import Outcome, Phase
from pilot.views import Selection
from tests.contract.stores import ADA, Clock, Worker, ended, stamp, submit

pytestmark = pytest.mark.anyio

#: A database as the first version left it, and what that version answered over it.
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
FIRST = (FIXTURES / "store-schema-1.sql").read_text("utf-8")
ANSWERS = json.loads((FIXTURES / "store-answers-1.json").read_text("utf-8"))
#: When the second pilot of that database claimed, and what followed its enrolment.
THEN = 1_000_165.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database file of the first version."""
    path = tmp_path / "central.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FIRST)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, Clock(THEN))
    await store.open()
    yield store
    await store.close()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


async def answers(store: SqliteStore) -> Mapping[str, Any]:
    """The questions that the first version was asked."""
    jobs = range(1, 12)
    stamps = [stamp(number) for number in (1, 2, 3, 4)]
    return {
        "job": [await store.job(None, job) for job in jobs],
        "attempts": [await store.attempts(None, job) for job in jobs],
        "jobs": await store.jobs(None, Selection(), None, 100, True),
        "waiting": sorted(await store.waiting(), key=lambda waiting: waiting.queue.id),
        "held": [await store.held(one) for one in stamps],
        "pilots": (await store.pilots(None))[0],
        "steps": [await store.steps(one) for one in stamps],
        "open_orders": await store.open_orders(),
        "counts": await store.counts(),
        "sandbox": await store.sandbox("atlas", "a" * 64),
    }


@pytest.mark.parametrize("question", sorted(ANSWERS))
async def test_an_old_database_answers_as_before(store: SqliteStore, question: str) -> None:
    """Everything that the first version knew is there; fields that are new are left out of the comparison."""
    now = json.loads(msgspec.json.encode((await answers(store))[question]))
    assert _as_in(ANSWERS[question], now) == ANSWERS[question]


def _as_in(old: Any, new: Any) -> Any:
    """The new answer without what the old one could not have, and without what was read from its facts since."""
    if isinstance(old, dict) and isinstance(new, dict):
        kept = {key: _as_in(value, new[key]) for key, value in old.items()}
        return {**kept, "host": old["host"]} if "suspect" in old else kept
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_as_in(one, other) for one, other in zip(old, new, strict=True)]
    return new


async def test_every_table_of_the_old_database_has_rows(path: Path) -> None:
    """Else the test above would show little."""
    with closing(sqlite3.connect(path)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert len(tables) > 10
        for table in tables:
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table


async def test_old_attempts_are_accounted_for(store: SqliteStore) -> None:
    """Those that had ended, but for the one that was given back; what still runs counts from when it was leased."""
    (sums,) = await store.usage(None, by=("owner",), since=0.0, until=1e9, span=None)
    assert (sums.keys, sums.attempts, sums.succeeded) == (("ada",), 3, 1)
    assert sums.core_seconds == pytest.approx(2 * (100 + 20 + 30))
    assert sums.cpu_seconds == pytest.approx(150 + 19)
    assert sums.memory_peak == 5_000_000
    assert [(one.owner, one.cores) for one in await store.consumed(1e6)] == [("ada", 8), ("eve", 1)]
    assert isinstance((await store.consumed(1e6))[0], Consumed)


async def test_old_pilots_have_their_machine(store: SqliteStore) -> None:
    """It is read from the facts that were kept."""
    assert [(await store.pilot(stamp(number))).host for number in (1, 2)] == ["", "node7"]


async def test_work_goes_on(store: SqliteStore) -> None:
    """What was out when the central was replaced ends as usual, what waited is claimed, and new jobs are counted."""
    worker = Worker(store, stamp(2), number=5)
    for live in await store.held(worker.stamp):
        report = AttemptReport(Phase.ENDED, Outcome.SUCCESS) if live.job == 10 else ended(Outcome.KILLED)
        assert await store.report(worker.stamp, live.job, live.attempt, report) is not None
    (job,) = await submit(store, 1, ADA)
    assert job == 12
    await worker.ended(await worker.take(job))
    expected = {**ANSWERS["counts"]["jobs"], "done": 3}
    del expected["matched"]
    assert (await store.counts())["jobs"] == expected


def test_a_step_that_fails_anywhere_leaves_the_file_as_it_was(path: Path) -> None:
    """After whichever statement it stops, nothing of the step is there, and the whole one works later."""
    before = dump(path)
    statements = list(_statements(steps()[1]))
    assert len(statements) > 15
    for number in range(len(statements) + 1):
        broken = "".join(statements[:number]) + "\nSELECT 1 FROM nowhere;\n"
        with (
            closing(sqlite3.connect(path, isolation_level=None)) as database,
            pytest.raises(sqlite3.OperationalError, match="nowhere"),
        ):
            migrate(database, path, (steps()[0], broken), 0.0)
        assert dump(path) == before
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        migrate(database, path, steps(), 0.0)
        assert database.execute("SELECT max(version) FROM schema_version").fetchone() == (len(steps()),)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_old_database_becomes_what_a_new_one_is(path: Path, tmp_path: Path) -> None:
    """The schema does not depend on where a database comes from."""
    new = tmp_path / "new.db"
    for each in (path, new):
        with closing(sqlite3.connect(each, isolation_level=None)) as database:
            migrate(database, each, steps(), 0.0)
    schemas = []
    for each in (path, new):
        with closing(sqlite3.connect(each)) as database:
            rows = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
            schemas.append(
                [(kind, name, " ".join(sql.replace('"', "").split()) if sql else "") for kind, name, sql in rows]
            )
    assert schemas[0] == schemas[1]
