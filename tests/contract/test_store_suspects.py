"""The contract of a store: a machine on which jobs fail fast gets none, until one alone has succeeded there."""

from __future__ import annotations

import pytest

from central.records import Beat, Claim, Identity, Limit, Pick
from central.store.port import Store
from central.store.suspicion import FAST, FIRST_PAUSE, STREAK
from pilot.protocol import Fact
from pilot.states import JobState, Outcome, PilotReason, PilotState
from tests.contract.stores import ADA, BOB, LEASE, Clock, Worker, enrol, ids, queue_of, state_of, submit

pytestmark = pytest.mark.anyio


ROOT = Identity("root", "atlas", "physics", "operator")


class Field:
    """Two owners with plenty of jobs, and a pilot on the machine that may be a black hole."""

    def __init__(self, store: Store, clock: Clock, worker: Worker, queues: tuple[int, int]) -> None:
        self.store = store
        self.clock = clock
        self.worker = worker
        self.queues = queues

    async def fail(
        self, times: int, outcome: Outcome = Outcome.PAYLOAD_ERROR, seconds: float = 1.0, owners: int = 2
    ) -> None:
        """So many jobs one after another, of the owners in turn; those that wait again are held."""
        for number in range(times):
            leased = (await self.worker.claim(self.queues[number % owners])).leases[0]
            self.clock.forward(seconds)
            await self.worker.ended(leased, outcome)
            await self.aside(leased.job)

    async def aside(self, job: int) -> None:
        """Hold a job if it waits, so that the next is another one."""
        if await state_of(self.store, job) is JobState.WAITING:
            await self.store.change(ROOT, "atlas", "hold", ids(job))

    async def ask(self, count: int = 1, worker: Worker | None = None) -> Claim:
        return await (worker or self.worker).claim(self.queues[0], count)

    async def suspect(self, worker: Worker | None = None) -> bool:
        return (await self.store.pilot((worker or self.worker).stamp)).suspect is not None


async def field(store: Store, clock: Clock, host: str = "node7") -> Field:
    queues = [await queue_of(store, (await submit(store, 100, who))[0]) for who in (ADA, BOB)]
    return Field(store, clock, await enrol(store, 1, host), (queues[0], queues[1]))


@pytest.mark.parametrize(
    "outcome", [Outcome.PAYLOAD_ERROR, Outcome.INPUT_ERROR, Outcome.NODE_FAULT, Outcome.OUTPUT_ERROR]
)
async def test_a_black_hole_gets_nothing(store: Store, clock: Clock, outcome: Outcome) -> None:
    """After ten fast failures in a row a machine is matched no more, and its pilot's row says so."""
    black = await field(store, clock)
    await black.fail(STREAK - 1, outcome)
    assert not await black.suspect()
    await black.fail(1, outcome)
    claim = await black.ask(3)
    assert (claim.leases, claim.reason, claim.limited) == ((), "suspect", ())
    pilot = await store.pilot(black.worker.stamp)
    assert pilot.host == "node7"
    assert pilot.suspect is not None
    assert (pilot.suspect.failures, pilot.suspect.trying) == (STREAK, False)
    assert pilot.suspect.next == pytest.approx(clock.time + FIRST_PAUSE)
    assert pilot.suspect.since == pytest.approx(clock.time - STREAK + 1)


async def test_the_canary(store: Store, clock: Clock) -> None:
    """When the pause is over one job is tried, however many were picked; its success ends the suspicion."""
    black = await field(store, clock)
    other = await enrol(store, 2, "node7")
    await black.fail(STREAK)
    clock.forward(FIRST_PAUSE + 1)
    claim = await black.ask(3)
    assert (len(claim.leases), claim.reason) == (1, "suspect")
    pilot = await store.pilot(other.stamp)
    assert pilot.suspect is not None
    assert pilot.suspect.trying
    assert (await black.ask(1, other)).reason == "suspect"
    assert (await black.ask()).leases == ()
    await black.worker.ended(claim.leases[0])
    assert not await black.suspect()
    assert len((await black.ask(3)).leases) == 3
    assert len((await black.ask(3, other)).leases) == 3


async def test_a_canary_that_fails_doubles_the_pause(store: Store, clock: Clock) -> None:
    """Each trial that fails, fast or not, keeps the machine out for twice as long."""
    black = await field(store, clock)
    await black.fail(STREAK)
    for pause, seconds in ((2 * FIRST_PAUSE, 1.0), (4 * FIRST_PAUSE, 5 * FAST)):
        clock.forward(pause / 2 + 1)
        await black.fail(1, seconds=seconds)
        pilot = await store.pilot(black.worker.stamp)
        assert pilot.suspect is not None
        assert pilot.suspect.next == pytest.approx(clock.time + pause)
        clock.forward(pause - 2)
        assert (await black.ask()).reason == "suspect"
        clock.forward(2 - pause / 2)


async def test_a_canary_that_comes_to_nothing(store: Store, clock: Clock) -> None:
    """A trial that is given back, or killed, tells nothing: the next may be tried at once."""
    black = await field(store, clock)
    await black.fail(STREAK)
    clock.forward(FIRST_PAUSE + 1)
    (leased,) = (await black.ask()).leases
    await store.release(black.worker.stamp, [(leased.job, leased.attempt)], "")
    (leased,) = (await black.ask()).leases
    await store.change(ADA, "atlas", "kill", ids(leased.job))
    assert (await black.ask()).reason == "suspect"  # it is out until its pilot has ended it
    await black.worker.ended(leased, Outcome.KILLED)
    assert len((await black.ask()).leases) == 1


async def test_jobs_that_were_there_before(store: Store, clock: Clock) -> None:
    """They hold no trial up, do not double the pause when they fail, and end the suspicion when they succeed."""
    black = await field(store, clock)
    before = (await black.ask(3)).leases
    clock.forward(1)
    await black.fail(STREAK)
    await black.worker.ended(before[0], Outcome.PAYLOAD_ERROR)
    pilot = await store.pilot(black.worker.stamp)
    assert pilot.suspect is not None
    assert pilot.suspect.next == pytest.approx(clock.time + FIRST_PAUSE)
    clock.forward(FIRST_PAUSE + 1)
    assert len((await black.ask()).leases) == 1
    await black.worker.ended(before[1])
    assert not await black.suspect()


async def test_one_owners_broken_program(store: Store, clock: Clock) -> None:
    """It fails anywhere: no machine is blamed for it. The word of the pilot, `node-fault`, needs no second owner."""
    black = await field(store, clock)
    await black.fail(2 * STREAK, owners=1)
    assert not await black.suspect()
    await black.fail(STREAK, Outcome.NODE_FAULT, owners=1)
    assert await black.suspect()


async def test_slow_failures_and_successes(store: Store, clock: Clock) -> None:
    """What runs for a minute empties no queue, and one success begins the row anew."""
    black = await field(store, clock)
    await black.fail(STREAK, seconds=FAST + 1)
    await black.fail(STREAK - 1)
    await black.fail(1, Outcome.SUCCESS)
    await black.fail(STREAK - 1)
    assert not await black.suspect()
    assert len((await black.ask(3)).leases) == 3


async def test_a_machine_is_a_site_and_a_name(store: Store, clock: Clock) -> None:
    """Another machine there, one of the same name elsewhere, and pilots that name none are free."""
    black = await field(store, clock)
    others = [
        await enrol(store, 2, "node8"),
        await enrol(store, 3, "node7", site="there"),
        await enrol(store, 4),
    ]
    await black.fail(STREAK)
    for worker in others:
        assert not await black.suspect(worker)
        assert len((await black.ask(3, worker)).leases) == 3


async def test_without_a_name_no_machine_is_suspect(store: Store, clock: Clock) -> None:
    """Pilots that do not say where they are have no machine in common."""
    black = await field(store, clock, host="")
    await black.fail(2 * STREAK)
    assert len((await black.ask(3)).leases) == 3


async def test_a_heartbeat_names_the_machine(store: Store, clock: Clock) -> None:
    """The name may come with a later beat; one without it is no news."""
    black = await field(store, clock, host="")
    stamp = black.worker.stamp
    await store.beat([Beat(stamp, clock.time, facts=(Fact("host", "node9", "uname"), Fact("cores", 8, "affinity")))])
    await store.beat([Beat(stamp, clock.time, facts=(Fact("cores", 8, "affinity"),))])
    await store.beat([Beat(stamp, clock.time, facts=(Fact("host", None, "uname"),))])
    assert (await store.pilot(stamp)).host == "node9"
    assert [pilot.host for pilot in (await store.pilots("atlas"))[0]] == ["node9"]
    await black.fail(STREAK)
    assert await black.suspect()


async def test_pilots_that_die_at_once(store: Store, clock: Clock) -> None:
    """A machine whose pilots end under their jobs, one after another, is suspect too; a lost one says nothing."""
    black = await field(store, clock)
    for number in range(STREAK):
        assert not await black.suspect()
        (leased,) = (await black.ask()).leases
        await store.end_pilot(black.worker.stamp, PilotState.LOST, PilotReason.GONE)
        await black.aside(leased.job)
        black.worker = await enrol(store, 10 + number, "node7")
    assert await black.suspect()
    calm = Field(store, clock, await enrol(store, 40, "node8"), black.queues)
    for number in range(STREAK):
        await calm.ask()
        clock.forward(LEASE + 1)
        await store.sweep(1e6)
        calm.worker = await enrol(store, 50 + number, "node8")
    assert not await calm.suspect()


async def test_a_trial_under_a_limit(store: Store, clock: Clock) -> None:
    """The one job of a trial is counted like any other."""
    black = await field(store, clock)
    await store.set_limits([Limit("here", attempts=2, site="here")])
    await black.fail(STREAK)
    clock.forward(FIRST_PAUSE + 1)
    claim = await black.worker.ask(Pick(black.queues[0], 3, 1, ("here",)))
    assert (len(claim.leases), claim.reason, claim.limited) == (1, "suspect", ())
    assert [use.attempts for use in await store.limits()] == [1]


async def test_one_job_that_fails_again_and_again(store: Store, clock: Clock) -> None:
    """On one machine it counts once, whatever its pilot says it was; on others it counts as well."""
    black = await field(store, clock)
    (mistyped,) = await submit(store, 1, priority=9)
    other = await enrol(store, 2, "node8")
    for worker in (black.worker, other, black.worker, black.worker, other):
        leased = await worker.take(mistyped)
        clock.forward(0.3)
        await worker.ended(leased, Outcome.NODE_FAULT)
    await black.aside(mistyped)
    await black.fail(STREAK - 2, Outcome.NODE_FAULT)
    assert not await black.suspect()
    await black.fail(1, Outcome.NODE_FAULT)
    pilot = await store.pilot(black.worker.stamp)
    assert pilot.suspect is not None
    assert pilot.suspect.failures == STREAK
    black.worker = other
    await black.fail(STREAK - 2, Outcome.NODE_FAULT)
    assert not await black.suspect()
    await black.fail(1, Outcome.NODE_FAULT)
    assert await black.suspect()


async def test_a_repeat_is_no_trial(store: Store, clock: Clock) -> None:
    """A suspect machine is tried with a job that has not failed there, where one waits; another proves nothing."""
    black = await field(store, clock)
    (mistyped,) = await submit(store, 1, priority=9)
    await black.worker.ended(await black.worker.take(mistyped), Outcome.NODE_FAULT)
    await black.aside(mistyped)
    await black.fail(STREAK - 1, Outcome.NODE_FAULT)
    await store.change(ROOT, "atlas", "release", ids(mistyped))
    clock.forward(FIRST_PAUSE + 1)
    claim = await black.worker.claim(await queue_of(store, mistyped))
    (fresh,) = claim.leases
    assert fresh.job != mistyped
    await black.worker.ended(fresh, Outcome.NODE_FAULT)
    pilot = await store.pilot(black.worker.stamp)
    assert pilot.suspect is not None
    assert pilot.suspect.failures == STREAK + 1
    assert pilot.suspect.next == pytest.approx(clock.time + 2 * FIRST_PAUSE)
    clock.forward(2 * FIRST_PAUSE + 1)
    for job in range(1, 101):
        await black.aside(job)
    await black.worker.ended(await black.worker.take(mistyped), Outcome.NODE_FAULT)
    assert (await store.pilot(black.worker.stamp)).suspect == pilot.suspect
    await black.aside(mistyped)
    assert len((await black.worker.claim(black.queues[1])).leases) == 1  # another may be tried at once
