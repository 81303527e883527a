"""Two transactions in each other's way, as PostgreSQL says it: a verb is tried again, and done once or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from central.records import Leased
from central.store.postgres import PostgresStore
from pilot.states import JobState
from tests.contract.stores import (
    ADA,
    SILENT,
    Clock,
    Worker,
    enrol,
    ids,
    postgres,
    refused,
    state_of,
    submit,
    waiting_jobs,
)
from tests.postgres import cluster

pytestmark = pytest.mark.anyio

#: The next statements that write to a table fail like one that lost against another; a sequence is not rolled back.
IN_THE_WAY = """
CREATE SEQUENCE clashes;
CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('clashes') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER clash BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION clash();
"""
OUT_OF_THE_WAY = "DROP FUNCTION clash() CASCADE; DROP SEQUENCE clashes"
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"


@dataclass
class Scene:
    """A store with one job that is out at a pilot, and one that waits."""

    store: PostgresStore
    clock: Clock
    worker: Worker
    out: Leased
    waits: int

    def clash(self, times: int, code: str, table: str) -> None:
        cluster().execute(self.store.url, IN_THE_WAY.format(times=times, code=code, table=table))

    def stop(self) -> int:
        """How many statements met the clash."""
        met = int(
            cluster().execute(self.store.url, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM clashes")
        )
        cluster().execute(self.store.url, OUT_OF_THE_WAY)
        return met

    async def states(self) -> list[JobState]:
        return [await state_of(self.store, job) for job in (self.out.job, self.waits)]


@pytest.fixture
async def scene(clock: Clock) -> AsyncIterator[Scene]:
    store = postgres(clock)
    await store.open()
    jobs = await submit(store, 2)
    worker = await enrol(store)
    yield Scene(store, clock, worker, await worker.take(jobs[0]), jobs[1])
    await store.close()
    await cluster().give_back(store.url)


# -- what is done, and what shows that it was done once


async def submitted(scene: Scene) -> None:
    await submit(scene.store, 3)


async def claimed(scene: Scene) -> None:
    claim = await scene.worker.claim(scene.out.queue, 5)
    assert [leased.job for leased in claim.leases] == [scene.waits]


async def ended(scene: Scene) -> None:
    await scene.worker.ended(scene.out)


async def held(scene: Scene) -> None:
    changed = await scene.store.change(ADA, "atlas", "hold", ids(scene.waits))
    assert [result.changed for result in changed.results] == [True]


async def swept(scene: Scene) -> None:
    scene.clock.time = 1_000_000.0 + 10_000
    assert [end.job for end in (await scene.store.sweep(SILENT)).ended] == [scene.out.job]


W, M, D, H = JobState.WAITING, JobState.MATCHED, JobState.DONE, JobState.HELD
VERBS = [
    pytest.param(submitted, "jobs", [M, W], 4, id="submit"),
    pytest.param(claimed, "jobs", [M, M], 0, id="claim"),
    pytest.param(ended, "jobs", [D, W], 1, id="report"),
    pytest.param(held, "jobs", [M, H], 0, id="hold"),
    pytest.param(swept, "attempts", [W, W], 2, id="sweep"),
]


@pytest.mark.parametrize("code", [SERIALIZATION_FAILURE, DEADLOCK])
@pytest.mark.parametrize(("verb", "table", "states", "waiting"), VERBS)
async def test_a_verb_that_was_in_anothers_way_is_done_once(
    scene: Scene, verb: Callable[[Scene], Awaitable[None]], table: str, states: list[JobState], waiting: int, code: str
) -> None:
    """A serialization failure and a deadlock are nobody's business but the store's: it tries again by itself."""
    scene.clash(2, code, table)
    await verb(scene)
    assert scene.stop() > 2
    assert await scene.states() == states
    assert sum((await waiting_jobs(scene.store)).values()) == waiting


@pytest.mark.parametrize(("verb", "table", "states", "waiting"), VERBS)
async def test_a_verb_that_is_always_in_the_way_is_refused_and_leaves_nothing(
    scene: Scene, verb: Callable[[Scene], Awaitable[None]], table: str, states: list[JobState], waiting: int
) -> None:
    """After a few tries its caller is told to come back; nothing of it stays, and later it is done."""
    scene.clash(1000, SERIALIZATION_FAILURE, table)
    assert await refused(verb(scene)) == "busy"
    assert scene.stop() >= 5
    assert await scene.states() == [M, W]
    assert sum((await waiting_jobs(scene.store)).values()) == 1
    await verb(scene)
    assert await scene.states() == states
    assert sum((await waiting_jobs(scene.store)).values()) == waiting
