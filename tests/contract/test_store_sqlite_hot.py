"""What the embedded store does to be fast, seen from where it could go wrong: templates that are kept, and transactions
without savepoints."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from central.records import Pick
from central.store import codec
from central.store.sqlite import SqliteStore, documents, leaders, matching, submission
from central.store.sqlite.documents import Templates
from pilot.protocol import JobSpec
from pilot.states import JobState, Phase
from tests.contract.stores import ADA, Clock, document, enrol, queue_of, state_of, submit

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "central.db", clock)
    await store.open()
    yield store
    await store.close()


# -- templates


async def test_a_document_that_was_undone_leaves_no_template(sqlite: SqliteStore) -> None:
    """A job whose document has the id of one that was never committed runs its own command."""
    worker = await enrol(sqlite)
    given: list[matching.Given] = []

    def undone(db: sqlite3.Connection, now: float) -> None:
        submission.submit(db, now, ADA, submission.prepare([document(command=("./wrong",))]), None, "")
        queue = db.execute("SELECT queue FROM jobs").fetchone()[0]
        given.append(matching.claim(db, now, sqlite._templates, worker.stamp, 1, 1, [Pick(queue, 1, 1)]))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await sqlite._writer.run(undone)
    (job,) = await submit(sqlite, command=("./right",))
    assert [one.document for one in given[0].won] == [job]  # the same id, and it was read
    assert (await worker.take(job)).spec.command == ("./right",)


async def test_ids_of_retired_documents_are_not_given_again(sqlite: SqliteStore, clock: Clock) -> None:
    """When everything is retired the next document is another one, and so is what its job runs."""
    worker = await enrol(sqlite)
    first = (await submit(sqlite, command=("./first",)))[0]
    leased = await worker.take(first)
    await worker.ended(leased)
    clock.forward(10)
    assert await sqlite.retire(clock.time, 10) == 1
    second = (await submit(sqlite, command=("./second",)))[0]
    assert second != first
    assert (await worker.take(second)).spec.command == ("./second",)
    with closing(sqlite3.connect(sqlite.path)) as database:
        assert database.execute("SELECT id FROM documents").fetchall() == [(second,)]


async def test_a_job_is_filled_in_from_a_template_that_is_kept(sqlite: SqliteStore) -> None:
    """Claims, and the repetition of one, fill in each member's own values, wherever the template comes from."""
    first, *_ = jobs = await submit(sqlite, 3)
    worker, queue = await enrol(sqlite), await queue_of(sqlite, first)
    claims = [await worker.claim(queue) for _ in jobs]
    assert [claim.leases[0].spec.command for claim in claims] == [("./run", str(number)) for number in range(3)]
    assert sqlite._templates.some([first]).keys() == {first}
    again = await sqlite.answered(worker.stamp, worker.agent, 2)
    assert again == claims[1].leases
    assert (await sqlite.claim(worker.stamp, worker.agent, 2, [Pick(queue, 1, 1)])).leases == again


async def test_specs_are_filled_in_beside_the_writer(sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked fills in his jobs himself: the writer goes on with the next."""
    threads: list[threading.Thread] = []
    fill = codec.fill

    def noted(template: JobSpec, parameters: str | None, inputs: str | None) -> JobSpec:
        threads.append(threading.current_thread())
        return fill(template, parameters, inputs)

    monkeypatch.setattr(codec, "fill", noted)
    (job,) = await submit(sqlite)
    await (await enrol(sqlite)).take(job)
    assert threads == [threading.current_thread()]


def test_templates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were used last stay; very long ones never do."""
    monkeypatch.setattr(documents, "TEMPLATES", 3)
    templates = Templates()
    spec = JobSpec(command=("true",))
    for number in range(3):
        assert templates.keep({number: codec.text(spec)}) == {number: spec}
    templates.some([0])
    long = replace(spec, name="n" * documents.LONGEST)
    assert templates.keep({3: codec.text(spec), 4: codec.text(long)}) == {3: spec, 4: long}
    assert templates.some(range(5)) == {0: spec, 2: spec, 3: spec}


# -- transactions without savepoints


def half_done(db: sqlite3.Connection, now: float) -> None:
    db.execute("UPDATE jobs SET name = 'half done'")
    raise ZeroDivisionError


@pytest.mark.parametrize("where", range(4))
async def test_a_verb_that_fails_half_way_is_undone_alone(sqlite: SqliteStore, where: int) -> None:
    """Wherever it is among verbs that share a transaction: those before and after it are done, each once, in order."""
    await submit(sqlite)
    blocked = threading.Event()
    first = asyncio.create_task(sqlite._writer.run(lambda database, now: blocked.wait(10)))
    await asyncio.sleep(0)

    def adds(number: int) -> Callable[[sqlite3.Connection, float], int]:
        def add(db: sqlite3.Connection, now: float) -> int:
            db.execute(
                "INSERT INTO sandboxes (community, sha256, size, created) VALUES ('atlas', ?, 1, 0.0)", (str(number),)
            )
            found: int = db.execute("SELECT count(*) FROM sandboxes").fetchone()[0]
            return found

        return add

    verbs = [asyncio.create_task(sqlite._writer.run(adds(number))) for number in range(where)]
    fails = [asyncio.create_task(sqlite._writer.run(half_done)) for _ in range(2)]
    verbs += [asyncio.create_task(sqlite._writer.run(adds(number))) for number in range(where, 4)]
    await asyncio.sleep(0)
    before = sqlite._writer.commits
    blocked.set()
    await first
    assert await asyncio.gather(*verbs) == [1, 2, 3, 4]
    failures = await asyncio.gather(*fails, return_exceptions=True)
    assert [type(failure) for failure in failures] == [ZeroDivisionError, ZeroDivisionError]
    assert sqlite._writer.commits - before <= 2  # the one that was blocked may have been past its time to take company
    assert (await sqlite.job(None, 1)).job.name == "run-0"
    with closing(sqlite3.connect(sqlite.path)) as database:
        assert database.execute("SELECT count(*) FROM sandboxes").fetchone() == (4,)


async def test_a_refusal_that_changed_nothing_repeats_nobody(sqlite: SqliteStore) -> None:
    """Verbs beside one that is refused before it writes run once."""
    ran: list[int] = []

    def counts(db: sqlite3.Connection, now: float) -> None:
        ran.append(leaders.lead(db, now, f"duty {len(ran)}", "one", 30.0) or 0)

    def refuses(db: sqlite3.Connection, now: float) -> None:
        raise ZeroDivisionError

    blocked = threading.Event()
    first = asyncio.create_task(sqlite._writer.run(lambda database, now: blocked.wait(10)))
    await asyncio.sleep(0)
    verbs = [asyncio.create_task(sqlite._writer.run(verb)) for verb in (counts, refuses, counts)]
    await asyncio.sleep(0)
    blocked.set()
    await asyncio.gather(first, *verbs, return_exceptions=True)
    assert len(ran) == 2


# -- history


async def test_history_costs_no_rows_of_its_own(sqlite: SqliteStore, clock: Clock) -> None:
    """A claim and an end write no events, and the history has both, also of what was given back."""
    first, second = await submit(sqlite, 2)
    worker = await enrol(sqlite)
    began = clock.time
    claim = await worker.claim(await queue_of(sqlite, first), 2)
    clock.forward(5)
    await worker.ended(claim.leases[0], message="all well")
    await sqlite.release(worker.stamp, [(second, 1)], "draining")
    with closing(sqlite3.connect(sqlite.path)) as database:
        assert database.execute("SELECT count(*) FROM attempt_events").fetchone() == (0,)
    told = {job: (await sqlite.attempts(None, job))[0].history for job in (first, second)}
    assert [(event.phase, event.time - began, event.message) for event in told[first]] == [
        (Phase.MATCHED, 0, ""),
        (Phase.ENDED, 5, "all well"),
    ]
    assert [event.message for event in told[second]] == ["", "given back unstarted: draining"]
    assert await state_of(sqlite, second) is JobState.WAITING
