"""The store and the end of its process, or of its disk: what was answered is there."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from central.store.sqlite import SqliteStore
from pilot.states import FINAL, LEASED, JobState

TOP = Path(__file__).resolve().parents[2]
WRITER = Path(__file__).with_name("store_writer.py")
ROUNDS = 4
#: Answers that a round hears before the process is killed.
ANSWERS = 300


@contextmanager
def process(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A Python of ours, killed at the end whatever happened."""
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        try:
            yield running
        finally:
            running.kill()


def answers_until_killed(database: Path, number: int) -> list[list[str]]:
    """Let the writer work, kill it with no warning, and return every answer that it had printed by then."""
    with process(WRITER, database, str(number)) as writer:
        assert writer.stdout
        assert writer.stderr
        lines = [writer.stdout.readline() for _ in range(ANSWERS)]
        writer.kill()
        lines += writer.stdout.readlines()
        assert writer.wait() == -9, writer.stderr.read()
    return [line.split() for line in lines if line.endswith("\n")]


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    """After each kill -9 in the middle of writing, every job, lease and end that was answered is there, once."""
    path = tmp_path / "central.db"
    for number in range(ROUNDS):
        answers = answers_until_killed(path, number)
        assert {answer[0] for answer in answers} == {"enrolled", "submitted", "leased", "done"}
        asyncio.run(compare(path, answers))


async def compare(path: Path, answers: list[list[str]]) -> None:
    store = SqliteStore(path)
    await store.open()
    try:
        for what, *words in answers:
            if what == "submitted":
                first, count = map(int, words)
                for number in (0, count - 1):
                    assert (await store.job("atlas", first + number)).job.name == str(number)
            elif what == "enrolled":
                assert (await store.pilot(words[0])).epoch == 1
            elif what == "leased":
                attempts = await store.attempts("atlas", int(words[0]))
                assert [(view.attempt, view.pilot) for view in attempts] == [(int(words[1]), words[2])]
            else:
                assert (await store.job("atlas", int(words[0]))).job.state is JobState.DONE
        await consistent(store)
    finally:
        await store.close()


async def consistent(store: SqliteStore) -> None:
    """Nothing is half done: jobs, attempts and queues say the same."""
    with closing(sqlite3.connect(store.path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        states = dict(database.execute("SELECT id, state FROM jobs"))
        out = {job for (job,) in database.execute("SELECT job FROM attempts WHERE phase <> 'ended'")}
        ended = {job for (job,) in database.execute("SELECT job FROM attempts WHERE phase = 'ended'")}
    assert sorted(states) == list(range(1, len(states) + 1))  # ids in a row: no document is there in part
    assert out == {job for job, state in states.items() if JobState(state) in LEASED}
    assert ended == {job for job, state in states.items() if JobState(state) in FINAL}
    waiting = sum(sum(row.counts.values()) for row in await store.waiting())
    assert waiting == len(states) - len(out) - len(ended)


DISK_FAULT = """
import asyncio, resource, sys
from pathlib import Path
from central.records import Identity, NewJobs
from central.store.sqlite import SqliteStore
from pilot.errors import Refusal
from pilot.protocol import JobSpec

ADA = Identity("ada", "atlas", "physics", "member")

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    new = NewJobs(JobSpec(command=("x",)), [({"n": str(n)}, None) for n in range(2000)])
    stored = 0
    limit(2_000_000)  # no file may grow beyond this: writes fail, as on a disk with a fault
    for _ in range(20):
        try:
            await store.submit(ADA, [new], None, "")
            stored += 1
        except Refusal as refusal:
            assert refusal.type == "busy" and refusal.retry_after, refusal
            break
    else:
        raise SystemExit("the disk never failed")
    assert stored > 0
    page = await store.job("atlas", 1)  # reading goes on
    limit(resource.RLIM_INFINITY)
    await store.submit(ADA, [new], None, "")
    print(stored + 1)
    await store.close()

asyncio.run(main())
"""


def test_a_disk_that_fails(tmp_path: Path) -> None:
    """Writes that fail are refused as `busy`, what was stored stays, and the store goes on when the disk does."""
    path = tmp_path / "central.db"
    with process("-c", DISK_FAULT, path) as running:
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (2000 * int(out),)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
