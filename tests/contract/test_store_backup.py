"""Copies of a store in use: the embedded one makes them itself, and PostgreSQL's own programs copy that database."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from central.store.sqlite import SqliteStore
from pilot.errors import PilotageError
from pilot.states import JobState
from pilot.views import Selection
from tests.contract.stores import Clock, enrol, postgres, state_of, submit

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "central.db", clock)
    await store.open()
    yield store
    await store.close()


async def test_a_backup_opens_as_a_store(tmp_path: Path, clock: Clock) -> None:
    """A copy made while serving has all that was answered before, nothing of what came later, and works on."""
    folder, copy = tmp_path / "one", tmp_path / "two"
    folder.mkdir()
    copy.mkdir()
    store, restored = SqliteStore(folder / "central.db", clock), SqliteStore(copy / "central.db", clock)
    await store.open()
    jobs = await submit(store, 3)
    await store.backup(copy / "central.db")
    await submit(store, 2)
    await store.close()
    await restored.open()
    try:
        assert [job.id for job in (await restored.jobs(None, Selection(), None, 10, False)).jobs] == jobs[::-1]
        worker = await enrol(restored)
        await worker.ended(await worker.take(jobs[0]))
        assert await state_of(restored, jobs[0]) is JobState.DONE
    finally:
        await restored.close()


async def test_a_backup_is_private_and_replaces_nothing(sqlite: SqliteStore, tmp_path: Path) -> None:
    """The copy is its owner's alone; a file that is there already is left as it is."""
    target = tmp_path / "copy"
    await sqlite.backup(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = target.read_bytes()
    await submit(sqlite)
    with pytest.raises(PilotageError, match="exists already"):
        await sqlite.backup(target)
    assert target.read_bytes() == before
    assert not (tmp_path / "copy.part").exists()


async def test_a_backup_that_cannot_be_written(sqlite: SqliteStore, tmp_path: Path) -> None:
    """It says which file and why."""
    with pytest.raises(PilotageError, match=r"missing/copy.* cannot be written: No such file"):
        await sqlite.backup(tmp_path / "missing" / "copy")


async def test_a_backup_holds_nobody_up(sqlite: SqliteStore, tmp_path: Path) -> None:
    """Verbs are answered while copies are made, and each copy is of one moment."""
    await submit(sqlite, 5000)
    copies = [sqlite.backup(tmp_path / f"copy-{number}") for number in range(3)]
    answers = await asyncio.gather(*copies, *(submit(sqlite) for _ in range(20)))
    assert len([answer for answer in answers if answer]) == 20


async def test_postgresql_is_copied_by_its_own_program(tmp_path: Path, clock: Clock) -> None:
    """Asked for a file, the store over PostgreSQL writes none and says what to use."""
    with pytest.raises(PilotageError, match="pg_dump"):
        await postgres(clock).backup(tmp_path / "copy")
    assert not os.listdir(tmp_path)
