"""What the store over PostgreSQL promises beyond the contract: several centrals, shared commits, a server that goes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from signal import SIGQUIT
from typing import Any, TypeVar

import asyncpg
import pytest

from central.records import Beat, Claim, Limit, NewJobs, Pick
from central.store.postgres import PostgresStore, quick
from central.store.postgres.migrate import steps
from central.store.postgres.transactions import Transactions
from pilot.errors import PilotageError, Refusal
from pilot.protocol import AttemptReport, JobSpec, Needs
from pilot.states import JobState, Outcome, Phase
from pilot.views import Selection
from tests.contract.stores import (
    ADA,
    Worker,
    document,
    ended,
    enrol,
    ids,
    postgres,
    queue_of,
    refused,
    state_of,
    submit,
    waiting_jobs,
)
from tests.postgres import Cluster, cluster, missing

pytestmark = pytest.mark.anyio

T = TypeVar("T")

#: What schema 2 changed, undone; without the function and the view, which are in the first script.
BACK_TO_SCHEMA_1 = """
DELETE FROM schema_version WHERE version > 1;
ALTER TABLE pilots DROP COLUMN answered CASCADE;
CREATE INDEX attempts_by_request ON attempts (pilot, epoch, agent, request);
DROP FUNCTION claim_jobs(jsonb, text[], integer, bigint[], integer[], integer[], integer[], integer[], integer[],
                         text[], jsonb, text[], double precision);
"""


@asynccontextmanager
async def opened(store: PostgresStore) -> AsyncIterator[PostgresStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def one() -> AsyncIterator[PostgresStore]:
    """A central's store, by the server's time."""
    async with opened(postgres(None)) as store:
        yield store


@pytest.fixture
async def other(one: PostgresStore) -> AsyncIterator[PostgresStore]:
    """Another central's, over the same database."""
    async with opened(PostgresStore(one.url)) as store:
        yield store


# -- several centrals


async def test_two_centrals_never_lease_a_job_twice(one: PostgresStore, other: PostgresStore) -> None:
    """Fifty claims at each of two centrals at once get every job that there is, once."""
    jobs = await submit(one, 150)
    queue = await queue_of(one, jobs[0])
    workers = [await enrol(one, number) for number in range(100)]
    for number, worker in enumerate(workers):
        worker.store = (one, other)[number % 2]
    claims = await asyncio.gather(*(worker.claim(queue, 2) for worker in workers))
    won = sorted(leased.job for claim in claims for leased in claim.leases)
    assert won == sorted(set(won))
    rest = [(await worker.claim(queue, 150)).leases for worker in workers[:1]]
    assert sorted([*won, *(leased.job for leases in rest for leased in leases)]) == jobs


async def test_a_request_number_at_two_centrals(one: PostgresStore, other: PostgresStore) -> None:
    """A request and its retry at another central, at the same time, get the same leases."""
    jobs = await submit(one, 20)
    worker = await enrol(one)
    pick = [Pick(await queue_of(one, jobs[0]), 3, 1)]
    claims = await asyncio.gather(*(store.claim(worker.stamp, 1, 1, pick) for store in (one, other) * 5))
    assert [claim.leases for claim in claims] == [claims[0].leases] * 10
    assert sum((await waiting_jobs(one)).values()) == 17


async def test_limits_are_exact_with_two_centrals(one: PostgresStore, other: PostgresStore) -> None:
    """Fifty claims at each of two centrals never go beyond a limit, and leave no room in it."""
    jobs = await submit(one, 200)
    queue = await queue_of(one, jobs[0])
    await one.set_limits([Limit("few", attempts=17), Limit("cores", cores=100)])
    workers = [await enrol(one, number) for number in range(100)]
    for number, worker in enumerate(workers):
        worker.store = (one, other)[number % 2]
    for _ in range(3):
        claims = await asyncio.gather(*(worker.ask(Pick(queue, 2, 1, ("few", "cores"))) for worker in workers))
        out = [(worker, leased) for worker, claim in zip(workers, claims, strict=True) for leased in claim.leases]
        assert len(out) == 17
        assert {claim.limited for claim in claims if len(claim.leases) < 2} == {("few",)}
        assert {use.limit.name: use.attempts for use in await other.limits()} == {"few": 17, "cores": 17}
        await asyncio.gather(*(worker.ended(leased) for worker, leased in out))
        assert {use.attempts for use in await one.limits()} == {0}


async def test_limits_replaced_under_load(one: PostgresStore, other: PostgresStore) -> None:
    """Counters are right after limits were set again and again while jobs came and went."""
    jobs = await submit(one, 300)
    queue = await queue_of(one, jobs[0])
    limits = [Limit("few", attempts=10)]
    await one.set_limits(limits)
    workers = [await enrol(one, number) for number in range(10)]
    for number, worker in enumerate(workers):
        worker.store = (one, other)[number % 2]

    async def work(worker: Worker) -> None:
        for _ in range(8):
            for leased in (await worker.ask(Pick(queue, 2, 1, ("few",)))).leases:
                await worker.ended(leased)

    async def replace() -> None:
        for _ in range(5):
            await other.set_limits(limits)

    await asyncio.gather(replace(), *(work(worker) for worker in workers))
    assert [use.attempts for use in await one.limits()] == [0]


async def test_centrals_that_start_together() -> None:
    """Of centrals that open one new database at once one makes the schema, and all can use it."""
    stores = [postgres(None)]
    stores += [PostgresStore(stores[0].url) for _ in range(4)]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(opened(store)) for store in stores))
        assert [len(await submit(store)) for store in stores] == [1] * 5
        assert cluster().execute(stores[0].url, "SELECT count(*) FROM schema_version") == str(len(steps()))


async def test_centrals_hear_each_other(one: PostgresStore, other: PostgresStore) -> None:
    """A word reaches every other central and not the one that said it; one that is too long is refused."""
    heard: list[str | None] = []
    own: list[str | None] = []
    await one.listen(heard.append)
    await other.listen(own.append)
    await other.tell("jobs came; naïve 😀")
    await other.tell("x" * 7000)
    await until(lambda: len(heard) == 2)
    assert (heard, own) == (["jobs came; naïve 😀", "x" * 7000], [])
    assert await refused(other.tell("é" * 3501)) == "too-large"


async def test_a_listener_that_was_cut_off(one: PostgresStore, other: PostgresStore) -> None:
    """When its connection is lost a central is told that it may have missed something, and hears again."""
    heard: list[str | None] = []
    await one.listen(heard.append)
    listening = "datname = current_database() AND query LIKE 'LISTEN%'"
    cluster().execute(one.url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")
    await until(lambda: heard == [None])
    await other.tell("again")
    await until(lambda: heard == [None, "again"])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the database or a library
            await asyncio.sleep(0.01)


# -- shared commits


async def test_a_claim_of_nothing(one: PostgresStore) -> None:
    """A claim without picks, or of none of a queue's jobs, gets nothing and is no error."""
    queue = await queue_of(one, (await submit(one, 1))[0])
    worker = await enrol(one)
    assert (await worker.ask(), await worker.ask(Pick(queue, 0, 1))) == (Claim(()), Claim(()))


async def test_batches_of_all_kinds(one: PostgresStore, other: PostgresStore) -> None:
    """Claims for one queue and for several, repeated ones, and those of a pilot that drains, together: each job goes to
    one call, no call gets more than it picked, and what repeats gets what it got."""
    queues = [await queue_of(one, (await submit(one, 40, needs=Needs(memory=10**6 * n)))[0]) for n in (1, 2, 3)]
    await one.set_limits([Limit("few", attempts=30), Limit("many", attempts=1000)])
    workers = [await enrol(one, number) for number in range(20)]
    before = await workers[0].ask(Pick(queues[0], 2, 1))
    await one.drain(workers[1].stamp)
    picks = [Pick(queue, 1, 2, names) for queue, names in zip(queues, (("many",), ("few", "many"), ()), strict=True)]
    repeated = one.claim(workers[0].stamp, 1, workers[0].number, picks)
    fresh = ((one, other)[number % 2].claim(worker.stamp, 9, 9, picks) for number, worker in enumerate(workers))
    claims = await asyncio.gather(repeated, *fresh)
    assert claims[0].leases == before.leases
    assert claims[2] == Claim((), "draining")
    served = [*claims[1:2], *claims[3:]]
    assert {tuple(leased.queue for leased in claim.leases) for claim in served} == {tuple(queues)}
    won = [leased.job for claim in served for leased in claim.leases]
    assert len(won) == len(set(won)) == 57
    uses = {use.limit.name: (use.attempts, use.cores) for use in await one.limits()}
    assert uses == {"few": (19, 38), "many": (38, 76)}


async def test_claims_share_commits(one: PostgresStore) -> None:
    """Fifty pilots that ask at once are served by far fewer commits than claims."""
    jobs = await submit(one, 50)
    queue = await queue_of(one, jobs[0])
    workers = [await enrol(one, number) for number in range(50)]
    commits, verbs = one.commits()
    claims = await asyncio.gather(*(worker.claim(queue) for worker in workers))
    assert sorted(leased.job for claim in claims for leased in claim.leases) == jobs
    assert one.commits()[0] - commits <= 3
    assert one.commits()[1] - verbs == 50
    commits, _ = one.commits()
    await asyncio.gather(*(w.ended(claim.leases[0]) for w, claim in zip(workers, claims, strict=True)))
    assert one.commits()[0] - commits <= 3


async def test_a_batch_with_a_bad_call(one: PostgresStore) -> None:
    """A call that no database could take is refused alone; the others of its batch are done."""
    jobs = await submit(one, 20)
    queue = await queue_of(one, jobs[0])
    workers = [await enrol(one, number) for number in range(10)]
    answers = await asyncio.gather(
        *(worker.claim(queue) for worker in workers),
        refused(one.claim(workers[0].stamp, 2**70, 1, [Pick(queue, 1, 1)])),
        refused(one.claim(workers[1].stamp, 1, 2**70, [Pick(queue, 1, 1)])),
    )
    assert answers[-2:] == ["invalid", "invalid"]
    assert [len(claim.leases) for claim in answers[:-2] if isinstance(claim, Claim)] == [1] * 10


async def test_words_on_one_attempt_in_one_batch(one: PostgresStore) -> None:
    """Reports that arrive together are taken in their order: a phase, the end, and the end again."""
    job = (await submit(one))[0]
    worker = await enrol(one)
    leased = await worker.take(job)
    answers = await asyncio.gather(
        one.report(worker.stamp, job, 1, AttemptReport(Phase.RUNNING, message="off")),
        worker.ended(leased),
        worker.ended(leased),
        one.report(worker.stamp, job, 1, AttemptReport(Phase.COMPLETING)),
    )
    assert [answer and answer.state for answer in answers] == [None, JobState.DONE, None, None]
    (attempt,) = await one.attempts(None, job)
    assert [event.phase for event in attempt.history] == [Phase.MATCHED, Phase.RUNNING, Phase.ENDED]


async def test_a_caller_who_went_away(one: PostgresStore) -> None:
    """A verb whose caller was cancelled is done all the same."""
    gone = asyncio.create_task(one.lead("sweep", "gone", 30))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await until(lambda: not one._transactions._tasks)
    assert await one.lead("sweep", "other", 30) is None


async def test_text_that_postgresql_cannot_keep(one: PostgresStore) -> None:
    """A payload that prints NUL is reported like any other."""
    new = NewJobs(JobSpec(command=("x", "\0"), name="a\0b"), [({"n": "\0"}, None)])
    job = (await one.submit(ADA, [new], None, "")).first_ids[0][0]
    worker = await enrol(one)
    leased = await worker.take(job)
    assert leased.spec.command == ("x", "\0")
    await one.report(worker.stamp, job, 1, AttemptReport(Phase.RUNNING, message="\0"))
    await worker.ended(leased, Outcome.PAYLOAD_ERROR, message="\0 is no letter", tail="\0")
    assert "is no letter" in (await one.job(None, job)).job.reason
    assert (await one.attempts(None, job))[0].tail == "\0"


# -- a server that goes


@pytest.fixture(scope="module")
def durable() -> Iterator[Cluster]:
    """A server of its own, that may be killed."""
    if lack := missing():
        pytest.skip(f"lacks {lack}")
    server = Cluster(durable=True)
    try:
        server.create()
        yield server
    finally:
        server.remove()


async def patiently(verb: Callable[[], Awaitable[T]], refusals: list[str]) -> T:
    """Ask until the answer is not `busy`, as a pilot does."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await verb()
            except Refusal as refusal:
                assert refusal.type == "busy", refusal
                assert refusal.retry_after
                refusals.append(str(refusal))
                await asyncio.sleep(0.05)


async def test_a_restart_under_load_loses_nothing(durable: Cluster) -> None:
    """While the server is killed and started again, claims and reports are retried or refused as busy; in the end
    every job is done, each in one attempt that is accounted for once."""
    async with opened(PostgresStore(durable.database())) as store:
        jobs = await submit(store, 400)
        queue = await queue_of(store, jobs[0])
        workers = [await enrol(store, number) for number in range(16)]
        refusals: list[str] = []
        done: list[int] = []

        async def work(worker: Worker) -> None:
            number = 0
            while len(done) < len(jobs):
                number += 1
                ask = lambda number=number: store.claim(worker.stamp, 1, number, [Pick(queue, 2, 1)])
                for leased in (await patiently(ask, refusals)).leases:
                    tell = lambda leased=leased: store.report(worker.stamp, leased.job, leased.attempt, ended())
                    await patiently(tell, refusals)
                    done.append(leased.job)
                await patiently(lambda: store.beat([Beat(worker.stamp, 1.0)]), refusals)

        working = [asyncio.create_task(work(worker)) for worker in workers]
        for part in (60, 200):
            await until(lambda part=part: len(done) >= part)  # type: ignore[misc]
            durable.stop(SIGQUIT)
            durable.launch()
        await asyncio.gather(*working)
        assert sorted(done) == jobs
        assert {await state_of(store, job) for job in jobs} == {JobState.DONE}
        figures = "SELECT count(*), count(DISTINCT job), max(attempt) FROM accounting"
        assert durable.execute(store.url, figures) == f"{len(jobs)}|{len(jobs)}|1"
        assert await waiting_jobs(store) == {}


async def test_a_server_that_is_away(durable: Cluster) -> None:
    """Reading and writing are refused as busy, with when to ask again; all works when it is back."""
    async with opened(PostgresStore(durable.database())) as store:
        job = (await submit(store))[0]
        durable.stop()
        verbs = (submit(store), store.job(None, job), store.beat([Beat("0" * 32, 1.0)]))
        answers = await asyncio.gather(*map(refused, verbs))
        assert set(answers) == {"busy"}
        durable.start()
        assert len(await submit(store)) == 1
        assert await state_of(store, job) is JobState.WAITING


async def test_no_connection_is_left(durable: Cluster) -> None:
    """When the server takes no more connections, the one who asks is told to come back, and let in later."""
    url = durable.database()
    name = durable.name(url)
    durable.execute(url, f"CREATE ROLE guest LOGIN; ALTER DATABASE {name} OWNER TO guest")
    async with opened(PostgresStore(url.replace("pilotage@", "guest@"))) as store:
        durable.execute(url, f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        durable.execute(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'")
        assert await refused(submit(store)) == "busy"
        durable.execute(url, f"ALTER DATABASE {name} CONNECTION LIMIT 10")
        assert len(await submit(store)) == 1


class LosingPool:
    """Connections that break once, just after the server has committed."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection:
            yield Losing(self, connection)


class Losing:
    def __init__(self, pool: LosingPool, connection: Any) -> None:
        self.pool = pool
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    async def execute(self, statement: str, *values: Any, **options: Any) -> str:
        answer: str = await self.connection.execute(statement, *values, **options)
        if statement == "COMMIT":
            self._lose()
        return answer

    async def fetch(self, statement: str, *values: Any, **options: Any) -> Any:
        answer = await self.connection.fetch(statement, *values, **options)
        if statement == quick.CLAIM:  # it commits by itself
            self._lose()
        return answer

    def _lose(self) -> None:
        if not self.pool.lost:
            self.pool.lost += 1
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


def lose_the_next_answer(transactions: Transactions) -> LosingPool:
    pool = LosingPool(transactions._pool)
    transactions._pool = pool  # type: ignore[assignment]
    return pool


async def test_a_commit_whose_answer_is_lost(one: PostgresStore) -> None:
    """A claim that was done, unheard, is answered with the same leases; whoever counts by answers is warned."""
    jobs = await submit(one, 5)
    worker = await enrol(one)
    queue = await queue_of(one, jobs[0])
    heard: list[str | None] = []
    await one.listen(heard.append)
    pool = lose_the_next_answer(one._hot)
    leases = (await worker.claim(queue, 2)).leases
    assert pool.lost == 1
    assert [leased.job for leased in leases] == jobs[:2]
    assert sum((await waiting_jobs(one)).values()) == 3
    assert heard == [None]


async def test_a_submission_whose_answer_is_lost(one: PostgresStore) -> None:
    """With a key it is answered as done; without one nobody repeats it, and the sentence says that it may be done."""
    lose_the_next_answer(one._transactions)
    first = await one.submit(ADA, [document(2)], "key", "digest")
    assert sum((await waiting_jobs(one)).values()) == 2
    assert first.first_ids[0][1] == 2
    lose_the_next_answer(one._transactions)
    with pytest.raises(Refusal, match="may have been done"):
        await one.submit(ADA, [document(1)], None, "")
    assert sum((await waiting_jobs(one)).values()) == 3


async def test_a_change_whose_answer_is_lost(one: PostgresStore) -> None:
    """A verb of people is not done twice."""
    job = (await submit(one))[0]
    await one.change(ADA, "atlas", "kill", ids(job))
    lose_the_next_answer(one._transactions)
    with pytest.raises(Refusal, match="may have been done"):
        await one.change(ADA, "atlas", "reschedule", ids(job))
    assert len((await one.jobs(None, Selection(), None, 10, False)).jobs) == 2


# -- which database


@pytest.mark.parametrize("url", ["postgresql://me:secret@host/db", "postgresql://host/db?password=secret"])
def test_no_password_in_the_url(url: str) -> None:
    """It would be seen by others; the message says where to write it, and does not repeat it."""
    with pytest.raises(PilotageError, match="pgpass") as refusal:
        PostgresStore(url)
    assert "secret" not in str(refusal.value)


async def test_a_server_that_is_not_there() -> None:
    """It is named, with what is wrong."""
    with pytest.raises(PilotageError, match="postgresql://nobody@/none.* cannot be opened: "):
        await PostgresStore("postgresql://nobody@/none?host=/nowhere").open()


async def test_a_newer_schema_is_refused(one: PostgresStore) -> None:
    """A database that a later program has used is not touched."""
    cluster().execute(one.url, "INSERT INTO schema_version VALUES (99, 0)")
    with pytest.raises(PilotageError, match="has schema 99, and this program knows schemas up to"):
        await PostgresStore(one.url).open()


async def test_a_database_of_schema_1(one: PostgresStore) -> None:
    """It is brought to the present schema, where a number that was answered before still gets that answer."""
    jobs = await submit(one, 4)
    worker = await enrol(one)
    leased = (await worker.claim(await queue_of(one, jobs[0]), 2)).leases
    await one.close()
    first = steps()[0]
    old_claim = first[first.index("CREATE FUNCTION claim_jobs") :]
    later = "".join(steps()[2:])
    made = re.findall(r"^CREATE (TABLE|FUNCTION|INDEX) (\w+)", later, re.MULTILINE)
    columns = re.findall(r"^ALTER TABLE (\w+) ADD COLUMN (\w+)", later, re.MULTILINE)
    gone = "".join(f"DROP {kind} IF EXISTS {name} CASCADE;\n" for kind, name in made)
    gone += "".join(f"ALTER TABLE IF EXISTS {table} DROP COLUMN {column} CASCADE;\n" for table, column in columns)
    old_view = first[first.index("CREATE VIEW pilots_whole") :].partition(";")[0]  # went with a column of its table
    cluster().execute(one.url, f"{BACK_TO_SCHEMA_1}{gone}{old_view};\n{old_claim}")
    async with opened(PostgresStore(one.url)) as store:
        assert await store.answered(worker.stamp, 1, worker.number) == leased
        worker.store = store
        assert [lease.job for lease in (await worker.claim(leased[0].queue, 9)).leases] == jobs[2:]
    assert cluster().execute(one.url, "SELECT max(version) FROM schema_version") == str(len(steps()))


async def test_somebody_elses_database() -> None:
    """A database of another program is refused, and stays as it is."""
    url = postgres(None).url
    cluster().execute(url, "CREATE TABLE bookmarks (url text)")
    with pytest.raises(PilotageError, match="is a database of something else"):
        await PostgresStore(url).open()
    assert cluster().execute(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "1"


async def test_time_is_the_servers(one: PostgresStore) -> None:
    """Rows are written with the server's time, whatever a central's clock says."""
    before = float(cluster().execute(one.url, "SELECT extract(epoch FROM clock_timestamp())"))
    job = (await submit(one))[0]
    submitted = (await one.job(None, job)).job.submitted
    assert before <= submitted <= await one.now()
