"""A verb over PostgreSQL that comes while another is under way waits for that one, and goes by what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import pytest

from central.people import SiteAdmins
from central.records import Leased, Pick
from central.store.postgres import (
    PostgresStore,
    claims,
    enrolment,
    leaders,
    life,
    pauses,
    people,
    pilots,
    queue_tests,
    retention,
)
from central.store.postgres.attempts import Report, report
from central.store.postgres.documents import Documents
from central.store.postgres.waiting import Queues
from pilot.protocol import AttemptReport, GoodbyeRequest
from pilot.states import JobState, OrderVerb, Outcome, PilotReason, PilotState
from pilot.views import JobVerb, Selection, VerbResult
from tests.contract.stores import (
    ADA,
    Clock,
    Worker,
    digest,
    ended,
    enrol,
    ids,
    intent,
    postgres,
    queue_of,
    refused,
    stamp,
    state_of,
    submit,
    submit_pilot,
)
from tests.contract.stores import (
    enrolment as request,
)
from tests.postgres import cluster

pytestmark = pytest.mark.anyio

T = TypeVar("T")

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
BYE = GoodbyeRequest(PilotReason.IDLE)
ADMINS = SiteAdmins("here", frozenset({"kim"}))


@dataclass
class Other:
    """Another central, in the middle of a transaction."""

    db: Any  # its connection
    watch: Any  # one to look with at who waits
    store: PostgresStore
    clock: Clock

    async def claim(self, worker: Worker, job: int, count: int = 1) -> tuple[Leased, ...]:
        picks = (Pick(await queue_of(self.store, job), count, 1),)
        call = claims.Call(worker.stamp, 1, 1, picks)
        (answer,) = await claims.claim(self.db, self.clock.time, Documents(), Queues(), [call])
        return answer.leases

    async def report(self, worker: Worker, lease: Leased, word: AttemptReport) -> None:
        await report(self.db, self.clock.time, [Report(worker.stamp, lease.job, lease.attempt, word)])

    async def change(self, verb: JobVerb, *jobs: int, priority: int | None = None) -> None:
        await people.change(self.db, self.clock.time, ADA, "atlas", verb, ids(*jobs), priority=priority, reason="")

    async def commits(self, verb: Awaitable[T]) -> T:
        """Commit once this verb of ours waits for the transaction (or is done, when it need not); its answer."""
        task = asyncio.ensure_future(verb)
        while not task.done() and not await self.watch.fetchval(BLOCKED):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.005)
        waited = not task.done()
        await self.db.execute("COMMIT")
        answer = await task
        assert waited, "it did not wait"
        return answer


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[PostgresStore]:
    store = postgres(clock)
    await store.open()
    yield store
    await store.close()
    await cluster().give_back(store.url)


@pytest.fixture
async def other(store: PostgresStore, clock: Clock) -> AsyncIterator[Other]:
    db, watch = await asyncpg.connect(store.url), await asyncpg.connect(store.url)
    await db.execute("BEGIN")
    yield Other(db, watch, store, clock)
    await db.close()
    await watch.close()


async def change(store: PostgresStore, verb: JobVerb, job: int, priority: int | None = None) -> VerbResult:
    (result,) = (await store.change(ADA, "atlas", verb, ids(job), priority=priority)).results
    return result


# -- people, claims, reports


@pytest.mark.parametrize("verb", ["hold", "kill", "priority"])
async def test_a_change_sees_the_claim_before_it(store: PostgresStore, other: Other, verb: JobVerb) -> None:
    """A job that was just claimed cannot be held; killed, it has an order for its attempt; it is counted nowhere."""
    (job,) = await submit(store)
    worker = await enrol(store)
    assert len(await other.claim(worker, job)) == 1
    changed = await other.commits(store.change(ADA, "atlas", verb, ids(job), priority=9))
    assert (changed.added, changed.removed) == ((), ())
    assert changed.results[0].changed == (verb != "hold")
    assert await state_of(store, job) is (JobState.KILLED if verb == "kill" else JobState.MATCHED)
    assert [order.job for order in await store.orders(worker.stamp)] == ([job] if verb == "kill" else [])


async def test_a_kill_sees_the_end_before_it(store: PostgresStore, other: Other) -> None:
    """A job that was just done is not killed."""
    (job,) = await submit(store)
    worker = await enrol(store)
    await other.report(worker, await worker.take(job), ended())
    result = await other.commits(change(store, "kill", job))
    assert (result.changed, result.state) == (False, JobState.DONE)


async def test_a_report_sees_the_kill_before_it(store: PostgresStore, other: Other) -> None:
    """The end of an attempt whose job was just killed leaves it killed."""
    (job,) = await submit(store, retries=3)
    worker = await enrol(store)
    leased = await worker.take(job)
    await other.change("kill", job)
    end = await other.commits(worker.ended(leased, Outcome.PAYLOAD_ERROR))
    assert end is not None
    assert (end.state, end.requeued) == (JobState.KILLED, None)
    assert await state_of(store, job) is JobState.KILLED


async def test_a_selection_by_state_sees_the_claim_before_it(store: PostgresStore, other: Other) -> None:
    """All that waits is killed, and not what has begun meanwhile."""
    first, second = await submit(store, 2)
    await other.claim(await enrol(store), first)
    changed = await other.commits(store.change(ADA, "atlas", "kill", Selection(states=(JobState.WAITING,))))
    assert [result.job for result in changed.results] == [second]
    assert await state_of(store, first) is JobState.MATCHED


async def test_a_second_person_sees_the_first(store: PostgresStore, other: Other) -> None:
    """Two that release the same job put it into its queue once."""
    (job,) = await submit(store)
    await change(store, "hold", job)
    await other.change("release", job)
    assert not (await other.commits(change(store, "release", job))).changed


async def test_a_claim_passes_by_what_somebody_changes(store: PostgresStore, other: Other) -> None:
    """It takes the next job instead of waiting for a person's transaction."""
    first, second = await submit(store, 2)
    await other.change("hold", first)
    worker = await enrol(store)
    assert [lease.job for lease in (await worker.claim(await queue_of(store, first))).leases] == [second]
    await other.db.execute("COMMIT")


async def test_retention_passes_by_what_somebody_reschedules(store: PostgresStore, other: Other, clock: Clock) -> None:
    """The new job has its document; one that is gone cannot be rescheduled."""
    (job,) = await submit(store)
    await change(store, "kill", job)
    clock.forward(10)
    await other.change("reschedule", job)
    assert await store.retire(clock.time, 10) == 0
    await other.db.execute("COMMIT")
    assert await store.retire(clock.time, 10) == 1
    assert (await store.job(None, job + 1)).command == ("./run", "0")


async def test_rescheduling_sees_the_retention_before_it(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A job that has just gone cannot be rescheduled."""
    (job,) = await submit(store)
    await change(store, "kill", job)
    clock.forward(10)
    assert await retention.retire(other.db, clock.time, clock.time, 10) == 1
    result = await other.commits(change(store, "reschedule", job))
    assert (result.changed, result.state) == (False, None)


# -- pilots


async def test_a_goodbye_sees_the_claim_before_it(store: PostgresStore, other: Other) -> None:
    """What a pilot was just given ends with it."""
    (job,) = await submit(store)
    worker = await enrol(store)
    await other.claim(worker, job)
    ends = await other.commits(store.goodbye(worker.stamp, BYE))
    assert [(end.job, end.state) for end in ends] == [(job, JobState.WAITING)]


async def test_a_claim_sees_the_goodbye_before_it(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A pilot that has just ended is given nothing."""
    (job,) = await submit(store)
    worker, queue = await enrol(store), await queue_of(store, job)
    await life.goodbye(other.db, clock.time, worker.stamp, BYE)
    claim = await other.commits(worker.claim(queue))
    assert (claim.leases, claim.reason) == ((), "banned")


async def test_a_resume_sees_the_end_before_it(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A pilot that was just given up does not come back."""
    worker = await enrol(store)
    await pilots.end(other.db, clock.time, worker.stamp, PilotState.LOST, PilotReason.GONE, "")
    assert await other.commits(refused(store.resume(worker.stamp, digest("key 1"), 1, ""))) == "revoked"


async def test_an_enrolment_sees_the_other_before_it(store: PostgresStore, other: Other, clock: Clock) -> None:
    """The same secret with another key is refused, and raises the alarm."""
    await submit_pilot(store)
    await enrolment.enrol(other.db, clock.time, stamp(1), digest("secret 1"), digest("key 1"), request())
    thief = store.enrol(stamp(1), digest("secret 1"), digest("thief"), request(instance="elsewhere"))
    assert await other.commits(refused(thief)) == "secret-used"
    row = await store.pilot(stamp(1))
    assert (row.key_hash, "elsewhere" in row.alarm) == (digest("key 1"), True)


async def test_an_enrolment_sees_the_drain_before_it(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A pilot that was asked to drain while it called drains."""
    await submit_pilot(store)
    await life.drain(other.db, clock.time, stamp(1))
    row = await other.commits(store.enrol(stamp(1), digest("secret 1"), digest("key 1"), request()))
    assert row.state is PilotState.DRAINING


async def test_a_secret_in_use_is_not_replaced_under_way(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A pilot that has just enrolled keeps its secret."""
    await submit_pilot(store)
    await enrolment.enrol(other.db, clock.time, stamp(1), digest("secret 1"), digest("key 1"), request())
    assert await other.commits(refused(store.renew_secret(stamp(1), digest("new"), 60.0))) == "conflict"


async def test_an_order_sees_the_goodbye_before_it(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A pilot that has just ended takes no orders."""
    worker = await enrol(store)
    await life.goodbye(other.db, clock.time, worker.stamp, BYE)
    assert await other.commits(refused(store.order(worker.stamp, OrderVerb.FLUSH, who="ada"))) == "conflict"


async def test_a_stamp_is_planned_once(store: PostgresStore, other: Other, clock: Clock) -> None:
    """Another intent under a stamp that was just written down is refused."""
    await pilots.plan(other.db, clock.time, intent())
    assert await other.commits(refused(store.plan_pilot(intent(secret_hash=digest("other"))))) == "conflict"


# -- pauses, and pilots that try a queue


@pytest.mark.parametrize("verb", ["replace", "lift", "try"])
async def test_an_operators_ban_under_way_holds(store: PostgresStore, other: Other, clock: Clock, verb: str) -> None:
    """An admin of the site who asks meanwhile, with a ban of their own in place, neither ends it nor tries a queue."""
    await store.ban_site("here", "kim", "mine")
    await pauses.pause(other.db, clock.time, "", "here", "oli", "all jobs fail there", None, None)
    asked = {
        "replace": lambda: store.ban_site("here", "kim", "mine", 1.0, admins=ADMINS),
        "lift": lambda: store.lift_ban("here", "kim", admins=ADMINS),
        "try": lambda: store.plan_test(intent(), admins=ADMINS),
    }
    assert await other.commits(refused(asked[verb]())) == "forbidden"
    assert [pause.who for pause in await store.pauses()] == ["oli"]


async def test_a_queue_is_tried_once_at_a_time(store: PostgresStore, other: Other, clock: Clock) -> None:
    """A pilot that another central has just sent is seen."""
    await queue_tests.plan(other.db, clock.time, intent(1), None)
    assert await other.commits(refused(store.plan_test(intent(2)))) == "conflict"
    assert [row.stamp for row in await store.live_pilots("local")] == [stamp(1)]


# -- leaders


async def test_a_second_leader_sees_the_first(store: PostgresStore, other: Other, clock: Clock) -> None:
    """Nobody takes over what was renewed a moment ago."""
    first = await store.lead("sweep", "one", 30)
    clock.forward(31)
    assert first is not None
    assert await leaders.lead(other.db, clock.time, "sweep", "one", 30) == first + 1
    assert await other.commits(store.lead("sweep", "two", 30)) is None


async def test_a_successor_waits_for_an_effect_of_the_leader(store: PostgresStore, other: Other, clock: Clock) -> None:
    """What a leader was allowed to do is written before the next one leads, also when its time has run out since."""
    await store.plan_pilot(intent())
    epoch = await store.lead("directors", "one", 30)
    assert epoch is not None
    assert await pilots.submitting(other.db, clock.time, stamp(1), "directors", epoch)
    clock.forward(31)
    assert await other.commits(store.lead("directors", "two", 30)) == epoch + 1
    assert (await store.pilot(stamp(1))).state is PilotState.SUBMITTING
    assert not await store.submitting(stamp(1), "directors", epoch)
