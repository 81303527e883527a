"""What the embedded store promises beyond the contract: its file, its commits, its schema, and a full disk."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from central.store.sqlite import (
    SqliteStore,
    accounting,
    decay,
    documents,
    hosts,
    life,
    limits,
    matching,
    out,
    pages,
    retention,
    usage,
    views,
    waiting,
)
from central.store.sqlite.migrate import migrate, steps
from pilot.errors import PilotageError
from pilot.views import Selection
from tests.contract.stores import Clock, enrol, queue_of, refused, submit, waiting_jobs

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "central.db", clock)
    await store.open()
    yield store
    await store.close()


async def test_the_file_is_private(sqlite: SqliteStore) -> None:
    """Database and journal are their owner's alone."""
    await submit(sqlite)
    for path in sqlite.path.parent.glob("central.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_verbs_that_gather_share_a_commit(sqlite: SqliteStore) -> None:
    """While the writer is busy others gather, and one commit makes them all durable."""
    blocked = threading.Event()
    first = asyncio.create_task(sqlite._writer.run(lambda database, now: blocked.wait(10)))
    verbs = [asyncio.create_task(sqlite.lead(f"duty {number}", "one", 30)) for number in range(40)]
    await asyncio.sleep(0)  # each is in the writer's queue now
    blocked.set()
    await asyncio.gather(first, *verbs)
    assert sqlite._writer.commits <= 2  # the one that was blocked may have been past its time to take company


async def test_an_idle_writer_does_not_wait_for_company(sqlite: SqliteStore) -> None:
    """Verbs that come one by one are committed one by one."""
    before = sqlite._writer.commits
    for _ in range(5):
        await submit(sqlite)
    assert sqlite._writer.commits - before == 5


async def test_a_caller_who_went_away(sqlite: SqliteStore) -> None:
    """A verb whose caller was cancelled is done all the same, and the writer goes on."""
    blocked = threading.Event()
    first = asyncio.create_task(sqlite._writer.run(lambda database, now: blocked.wait(10)))
    gone = asyncio.create_task(sqlite.lead("sweep", "gone", 30))
    await asyncio.sleep(0)  # both are in the writer's queue now
    gone.cancel()
    blocked.set()
    await first
    assert await sqlite.lead("sweep", "other", 30) is None


async def test_a_fault_in_a_verb_is_its_callers(sqlite: SqliteStore) -> None:
    """An unexpected error reaches the one who asked, its verb is undone, and those beside it are kept."""

    def faulty(database: sqlite3.Connection, now: float) -> None:
        database.execute("DELETE FROM jobs")
        raise ZeroDivisionError

    await submit(sqlite, 3)
    fault, kept = await asyncio.gather(sqlite._writer.run(faulty), submit(sqlite), return_exceptions=True)
    assert isinstance(fault, ZeroDivisionError)
    assert kept == [4]
    assert sum((await waiting_jobs(sqlite)).values()) == 4


def limit_pages(database: sqlite3.Connection, now: float, more: int) -> None:
    """Let the file grow by so many pages and no further: SQLite then says what it says of a full disk."""
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + more}")


async def test_a_full_disk(sqlite: SqliteStore) -> None:
    """What finds no room is refused as `busy` and leaves nothing; the store works again when there is room."""
    await submit(sqlite, 10)
    await sqlite._writer.run(limit_pages, 20)
    assert await refused(submit(sqlite, 5000)) == "busy"
    assert sum((await waiting_jobs(sqlite)).values()) == 10
    await sqlite._writer.run(limit_pages, 1_000_000)
    assert len(await submit(sqlite, 5000)) == 5000
    assert sum((await waiting_jobs(sqlite)).values()) == 5010


async def test_a_full_disk_is_told_to_all(sqlite: SqliteStore) -> None:
    """When one verb of many finds no room, each is either done or refused: none hangs, none is lost."""
    await sqlite._writer.run(limit_pages, 60)
    answers = await asyncio.gather(*(submit(sqlite, 400) for _ in range(40)), return_exceptions=True)
    done = [answer for answer in answers if isinstance(answer, list)]
    assert 0 < len(done) < 40
    assert {getattr(answer, "type", None) for answer in answers if not isinstance(answer, list)} == {"busy"}
    await sqlite._writer.run(limit_pages, 1_000_000)
    assert sum((await waiting_jobs(sqlite)).values()) == 400 * len(done)


def test_a_disk_that_fills_up_while_jobs_run(tmp_path: Path) -> None:
    """Where the file system itself has no room, each verb is done or `busy`; asked again later it is done, once."""
    command = [sys.executable, "-m", "tests.contract.full_disk", str(tmp_path)]
    top = Path(__file__).resolve().parents[2]
    ran = subprocess.run(command, cwd=top, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    added = found.pop("added")
    assert added % 900 == 0
    assert added < 160 * 900
    assert found == {
        "done": True,
        "was full": True,
        "refusals": ["busy"],
        "attempts": [1],
        "phases": ["ended", "matched", "running"],
        "accounted": 400,
        "counts": {"done": 400} | ({"waiting": added} if added else {}),
        "answered": True,
        "refused": ["busy"],
    }


# -- schema


async def test_a_newer_schema_is_refused(sqlite: SqliteStore) -> None:
    """A database that a later program has used is not touched, and the message says what to do."""
    await submit(sqlite)
    await sqlite.close()
    with closing(sqlite3.connect(sqlite.path)) as database, database:
        database.execute("INSERT INTO schema_version VALUES (99, 0.0)")
    with pytest.raises(PilotageError, match="has schema 99, and this program knows schemas up to"):
        await sqlite.open()
    with closing(sqlite3.connect(sqlite.path)) as database, database:
        database.execute("DELETE FROM schema_version WHERE version = 99")
    await sqlite.open()
    assert sum((await waiting_jobs(sqlite)).values()) == 1


def migrated(path: Path, scripts: tuple[str, ...]) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    migrate(database, path, scripts, 0.0)
    return database


def test_an_older_schema_is_brought_forward(tmp_path: Path) -> None:
    """Only the steps that are missing run, and what was stored before them is there."""
    path = tmp_path / "old.db"
    with closing(migrated(path, steps())) as database:
        database.execute("INSERT INTO sandboxes (community, sha256, size, created) VALUES ('atlas', 'a', 1, 0.0)")
    more = "ALTER TABLE sandboxes ADD COLUMN used REAL;\nUPDATE sandboxes SET used = 7.5;\n"
    with closing(migrated(path, (*steps(), more))) as database:
        assert database.execute("SELECT sha256, used FROM sandboxes").fetchall() == [("a", 7.5)]
        assert database.execute("SELECT max(version) FROM schema_version").fetchone() == (len(steps()) + 1,)


def test_a_failing_step_leaves_the_old_schema(tmp_path: Path) -> None:
    """A migration is all or nothing."""
    path = tmp_path / "old.db"
    migrated(path, steps()).close()
    with pytest.raises(sqlite3.OperationalError):
        migrated(path, (*steps(), "ALTER TABLE sandboxes ADD COLUMN used REAL;\nSELECT nothing FROM nowhere;\n"))
    with closing(migrated(path, steps())) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(sandboxes)")]
    assert "used" not in columns


async def test_somebody_elses_database(tmp_path: Path, clock: Clock) -> None:
    """A database of another program is refused, and stays as it is."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bookmarks (url)")
    with pytest.raises(PilotageError, match="is a database of something else"):
        await SqliteStore(path, clock).open()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]


async def test_a_file_that_is_no_database(tmp_path: Path, clock: Clock) -> None:
    """It is named, with what is wrong."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, however long one looks at it\n" * 100)
    with pytest.raises(PilotageError, match=r"notes.txt cannot be used as a database: file is not a database"):
        await SqliteStore(path, clock).open()


async def test_a_folder_that_is_not_there(tmp_path: Path, clock: Clock) -> None:
    """It is named as well."""
    with pytest.raises(PilotageError, match=r"missing/central.db cannot be opened: No such file"):
        await SqliteStore(tmp_path / "missing" / "central.db", clock).open()


# -- cost

#: Statements that run for every job, heartbeat or page, however many rows there are.
HOT = {
    "first of a queue": matching.FIRST,
    "take one": matching.TAKE,
    "take some": matching.TAKE_ALL,
    "answered": matching.ANSWERED,
    "held": matching.HELD,
    "live attempt": matching.LIVE_ATTEMPT,
    "attempt": out.ATTEMPT,
    "out on a pilot": out.OUT_ON,
    "document": documents.TEXT,
    "documents": documents.TEXTS,
    "counters of limits": limits.KEEP,
    "page by state": pages.IDS_IN_STATE,
    "page by owner": pages.IDS_OF_OWNER,
    "page by ids": pages.IDS_NAMED,
    "rows of a page": pages.ROWS,
    "job": views.JOB,
    "attempts of a job": views.ATTEMPTS,
    "waiting in a queue": waiting.WAITING_IN,
    "ahead": waiting.AHEAD,
    "beat": life.HEARD,
    "beats of silent pilots": life.SILENT,
    "a silent pilot beats": life.BACK_AGAIN,
    "usage": life.USAGE,
    "silence": life.SILENCE,
    "past their lease": life.PAST_LEASE,
    "limits of a claim": limits.ONE,
    "a limit is freed": limits.LESS,
    "the claim's pilot": matching.PILOT,
    "a machine": hosts.ONE,
    "a suspect machine": hosts.SUSPECT,
    "hours to be summed": accounting.SUMS,
    "what is used": usage.USED.format(keys="owner"),
    "what is out": limits.OUT,
    "use of hours": decay.OF_HOURS,
    "use of what ended": decay.OF_ENDED,
    "use of what runs": decay.OF_LIVE,
    "jobs to retire": retention.OLD,
    **{f"belongings {number}": statement for number, statement in enumerate(retention.BELONGINGS)},
    "documents to retire": retention.DOCUMENTS,
}
#: What may be read from end to end: lists in JSON, what is out, and what a part of the statement has found.
SMALL = ("VIRTUAL TABLE", "USING INDEX attempts_out", "SCAN used", "SCAN usage_summed")


@pytest.mark.parametrize("name", HOT)
async def test_hot_statements_use_an_index(sqlite: SqliteStore, name: str) -> None:
    """None of them reads a table of ours from end to end."""
    with closing(sqlite3.connect(sqlite.path)) as database:
        statement = HOT[name]
        values = (None,) * statement.count("?") if "?" in statement else _named(statement)
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert not [step for step in plan if step.startswith("SCAN") and not any(word in step for word in SMALL)], plan


def _named(statement: str) -> dict[str, None]:
    return dict.fromkeys(re.findall(r":(\w+)", statement))


async def test_a_reader_does_not_wait_for_the_writer(sqlite: SqliteStore) -> None:
    """While a transaction is under way a list is answered, with what was committed before."""
    await submit(sqlite, 3)
    written, release = threading.Event(), threading.Event()

    def slow(database: sqlite3.Connection, now: float) -> None:
        database.execute("UPDATE jobs SET name = 'new'")
        written.set()
        release.wait(10)

    writing = asyncio.create_task(sqlite._writer.run(slow))
    await asyncio.to_thread(written.wait, 10)
    page = await sqlite.jobs("atlas", Selection(), None, 10, True)
    assert {job.name for job in page.jobs} == {"run-0", "run-1", "run-2"}
    release.set()
    await writing
    assert {job.name for job in (await sqlite.jobs("atlas", Selection(), None, 10, True)).jobs} == {"new"}


async def test_a_long_verb_keeps_nobody_waiting_who_came_before(sqlite: SqliteStore) -> None:
    """A large submission has a transaction of its own: what is before it is answered first, what is after it later."""
    blocked = threading.Event()
    order: list[str] = []

    async def ask(name: str, verb: Coroutine[Any, Any, object]) -> None:
        await verb
        order.append(name)

    first = asyncio.create_task(sqlite._writer.run(lambda database, now: blocked.wait(10)))
    await asyncio.sleep(0)
    verbs = [
        asyncio.create_task(ask("before", sqlite.lead("one", "here", 30))),
        asyncio.create_task(ask("long", sqlite._writer.run_alone(lambda database, now: order.append("runs")))),
        asyncio.create_task(ask("after", sqlite.lead("two", "here", 30))),
    ]
    await asyncio.sleep(0)
    before = sqlite._writer.commits
    blocked.set()
    await asyncio.gather(first, *verbs)
    assert sqlite._writer.commits - before == 3
    assert order.index("long") < order.index("after")


async def test_foreign_keys_are_checked_again_after_a_long_verb(sqlite: SqliteStore) -> None:
    """A large submission goes without the checks, refused or not; every verb beside it has them."""

    def astray(database: sqlite3.Connection, now: float) -> None:
        database.execute("UPDATE jobs SET document = 999")

    await submit(sqlite, 2000)
    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError):
            await sqlite._writer.run(astray)
        with pytest.raises(ZeroDivisionError):
            await sqlite._writer.run_alone(lambda database, now: 1 // 0)
    with closing(sqlite3.connect(sqlite.path)) as database:
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_fifty_claims_share_commits(sqlite: SqliteStore) -> None:
    """Fifty pilots that ask at once are served by far fewer commits than claims."""
    jobs = await submit(sqlite, 50)
    queue = await queue_of(sqlite, jobs[0])
    workers = [await enrol(sqlite, number) for number in range(50)]
    before = sqlite._writer.commits
    claims = await asyncio.gather(*(worker.claim(queue) for worker in workers))
    assert sorted(leased.job for claim in claims for leased in claim.leases) == jobs
    assert sqlite._writer.commits - before <= 10
