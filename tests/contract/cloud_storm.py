"""A storm: one queue of a cloud in memory with its director, its machines and their pilots, and what may happen to
them. The laws that always hold are looked after here."""

from __future__ import annotations

import os
import random
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from central.clouds import element as elements
from central.clouds.element import CloudElement, Order
from central.clouds.fake import FakeCloud
from central.clouds.fake_machine import FakeMachine
from central.clouds.faults import Fault, draw
from central.clouds.port import Intent, State
from central.configuration.elements import Cloud
from central.directors import submitting
from central.directors.board import Wait
from central.directors.control import Limits
from central.directors.machines import HANGS, STRANGE
from central.directors.removals import STUCK
from central.directors.site import SiteDirector
from central.records import Ended, PilotRow
from central.store.sqlite import SqliteStore
from pilot.errors import Refusal
from pilot.states import FINAL, LIVE_PILOT, JobState, PilotReason, PilotState
from tests.cloud_guests import CORES, Guest, Guests, Ledger, told
from tests.contract.stores import ADA as WHO
from tests.contract.stores import LEASE, SILENT, Clock, digest, document, enrolment, queue_of
from tests.contract.test_directors import Doom, Killed, Mortal
from tests.director_scene import DUTY, Work, director
from tests.user_data import boot
from wrappers.user_data.model import Boot

SLOTS, LAG, LEAD = 4, 20.0, 30.0
LIFE, BOOT_DEADLINE = 6 * 3600.0, 1800.0
OURS, THEIRS = "0000aaaa", "0000bbbb"
OTHER = "another queue"  # in force, in the same account
#: Seconds between two turns while a storm ends.
HOP = 600.0
#: Turns, that far apart, in which all jobs end: a queue may be shut for half an hour after pilots that ended badly.
PATIENCE = 60


class Drawn:
    """Stamps and secrets that are the same in each run."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def token_hex(self, size: int) -> str:
        return self.rng.randbytes(size).hex()

    def token_urlsafe(self, size: int) -> str:
        return self.rng.randbytes(size).hex()


class Demand(Work):
    """What the director is told: of the store's jobs and the pilots that run."""

    def __init__(self, storm: Storm) -> None:
        super().__init__()
        self.storm = storm
        self.idle_cores = 0

    async def waiting(self) -> Sequence[Wait]:
        storm = self.storm
        self.idle = storm.guests.idle_cores
        found = [one for one in await storm.store.waiting() if one.queue.id == storm.guests.queue]
        return [Wait(one.queue.id, sum(one.counts.values()), 1.0) for one in found]

    def over(self, row: PilotRow, state: PilotState, reason: PilotReason, ends: Sequence[Ended]) -> None:
        self.storm.ledger.ended(ends)
        if guest := self.storm.works.get(row.stamp):
            silent = self.storm.clock() - guest.seen
            assert silent > LEASE, f"closed with a live lease, {silent:.0f} s after its last word"

    async def drain(self, row: PilotRow, why: str) -> None:
        await self.storm.store.drain(row.stamp)


@dataclass
class Storm:
    """One queue of a cloud, with its machines and their pilots, and directors that come and go."""

    seed: int
    clock: Clock
    store: SqliteStore

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.queue = f"cloud-{self.seed}-{self.rng.randbytes(4).hex()}"
        self.yesterday = f"{self.queue}, of yesterday"
        self.cloud = FakeCloud(self.clock, self.rng, lag=LAG, idempotent=self.rng.random() < 0.5, wait=self.hang)
        self.ledger = Ledger()
        self.guests = Guests(self.cloud, OURS, self.store, self.ledger, self.rng)
        self.works: dict[str, Guest] = {}  # by stamp, those that work as a turn begins
        self.work = Demand(self)
        self.jobs: list[int] = []
        self.process = 1  # the one that leads
        self.mine = self.fresh()
        self.since = 0  # deletions that were asked for before this director began

    async def hang(self, seconds: float) -> None:
        self.clock.forward(seconds)

    def fresh(self, doom: Doom | None = None) -> SiteDirector:
        computing = CloudElement(
            self.cloud.provider(OURS),
            Order(self.queue, Cloud("small", "plain"), self.boot, lambda: {self.queue, OTHER}),
        )
        store, limits = self.store, Limits(SLOTS, 3, CORES)
        if doom:
            store, computing = Mortal(store, doom), Mortal(computing, doom)  # type: ignore[assignment]
        return director(
            store,
            computing,
            self.work,
            limits,
            name=self.queue,
            secret_ttl=BOOT_DEADLINE,
            machines=True,
            life=LIFE,
        )

    def boot(self, stamp: str, secret: str) -> Boot:
        return boot({"stamp": stamp}, secret=secret, life=int(LIFE) + 1200)

    async def led(self, seconds: float = LEAD) -> int:
        epoch = await self.store.lead(DUTY, f"{self.queue} {self.process}", seconds)
        assert epoch is not None
        return epoch

    # -- what may happen; the number says more where it matters --------------------------------------------------------
    async def time_passes(self, number: int) -> None:
        await self.later(float(number * number))

    async def hours_pass(self, number: int) -> None:
        await self.later(400.0 * number)

    async def later(self, seconds: float) -> None:
        await self.led(seconds + LEAD)  # as whoever leads says again and again
        self.clock.forward(seconds)
        await self.guests.turn()
        self.ledger.ended((await self.store.sweep(SILENT)).ended)

    async def jobs_come(self, number: int) -> None:
        submitted = await self.store.submit(WHO, [document(1 + number % 5)], None, "")
        first, count = submitted.first_ids[0]
        self.jobs += range(first, first + count)
        self.guests.queue = await queue_of(self.store, first)

    async def a_turn(self, _: int) -> None:
        epoch = await self.led()
        await self.watched(self.mine, epoch)

    async def a_turn_of_one_that_was_deposed(self, _: int) -> None:
        before = len(self.cloud.machines)
        await self.watched(self.fresh(), await self.led() + 1)
        assert len(self.cloud.machines) == before, "one that does not lead has started a machine"

    async def killed_before(self, number: int) -> None:
        await self.killed(Doom(number, True))

    async def killed_after(self, number: int) -> None:
        await self.killed(Doom(number, False))

    async def killed(self, doom: Doom) -> None:
        try:
            await self.watched(self.fresh(doom), await self.led())
        except Killed:
            pass
        self.process += 1  # whoever comes next is another process, with an epoch of its own
        self.clock.forward(LEAD)
        self.mine, self.since = self.fresh(), len(self.cloud.deleted)

    async def the_cloud_is_bad(self, number: int) -> None:
        self.cloud.faults = draw(self.rng)
        self.cloud.odds = 1.0 if number % 2 else 0.3

    async def one_fault(self, number: int) -> None:
        self.cloud.faults.symmetric_difference_update({list(Fault)[number % len(Fault)]})

    async def the_cloud_is_well(self, _: int) -> None:
        self.cloud.faults.clear()
        self.cloud.most_machines = None

    async def the_quota_changes(self, number: int) -> None:
        self.cloud.most_machines = number % 6 or None

    async def one_is_reclaimed(self, number: int) -> None:
        if machine := self.some(number):
            self.cloud.reclaim(machine, 120.0 if number % 2 else 0.0, stays=number % 3 > 0)

    async def one_reboots(self, number: int) -> None:
        if machine := self.some(number):
            self.cloud.reboot(machine)

    async def one_powers_off(self, number: int) -> None:
        if machine := self.some(number):
            self.cloud.power_off(machine)

    async def one_vanishes(self, number: int) -> None:
        if machine := self.some(number):
            machine.gone = self.clock()

    async def one_hangs(self, number: int) -> None:
        if guest := self.someone(number):
            guest.hangs = True

    async def one_is_cut_off(self, number: int) -> None:
        if guest := self.someone(number):
            guest.cut_until = self.clock() + (300.0 if number % 2 else 40.0) * number

    async def the_central_is_cut_off(self, number: int) -> None:
        for guest in self.guests.alive:
            guest.cut_until = max(guest.cut_until, self.clock() + 40.0 * number)

    async def a_secret_is_stolen(self, number: int) -> None:
        machines = [one for one in self.cloud.there() if one.central == OURS and one.intent.user_data]
        if machines:
            stamp, secret, _ = machines[number % len(machines)].intent.user_data.decode().split()
            if stamp in self.guests.let_in:
                with pytest.raises(Refusal):
                    await self.store.enrol(stamp, digest(secret), digest("thief"), enrolment())

    async def somebody_drains_one(self, number: int) -> None:
        if guest := self.someone(number):
            await self.store.drain(guest.stamp)

    async def a_machine_of_nobody(self, number: int) -> None:
        """Of others, of another queue of ours, or with our mark and a stamp that no journal has."""
        central = ("", THEIRS, OURS, OURS)[number % 4]
        queue = OTHER if number % 4 == 2 else self.yesterday if number % 8 == 7 else self.queue
        self.cloud.start(central, Intent(self.rng.randbytes(16).hex(), queue, "small", "plain", b""))

    async def a_queue_is_taken_away(self, number: int) -> None:
        """Of its settings; of its machines one is left, that works, or never calls."""
        stamp, secret = self.rng.randbytes(16).hex(), self.rng.randbytes(16).hex()
        plan = replace(self.mine.plan, name=self.yesterday)
        await self.store.plan_pilot(plan.intent(stamp, digest(secret)))
        assert await self.store.submitting(stamp, DUTY, await self.led())
        told = f"{stamp} {secret} {int(LIFE)}".encode()
        machine = self.cloud.start(OURS, Intent(stamp, self.yesterday, "small", "plain", told))
        machine.calls = number % 2 > 0
        await self.store.submitted(stamp, machine.id)

    def some(self, number: int) -> FakeMachine | None:
        there = [one for one in self.cloud.there() if one.central == OURS and one.intent.queue != OTHER]
        return there[number % len(there)] if there else None

    def someone(self, number: int) -> Guest | None:
        alive = [guest for guest in self.guests.alive if guest.enrolled]
        return alive[number % len(alive)] if alive else None

    # -- and what is always so ----------------------------------------------------------------------------------------
    async def watched(self, of: SiteDirector, epoch: int) -> None:
        """A turn of a director, that deletes nothing that works."""
        now, before = self.clock(), len(self.cloud.deleted)
        self.works = {guest.stamp: guest for guest in self.guests.alive if guest.may_hold(now, LEASE)}
        try:
            await of.cycle(epoch)
        finally:
            for at, id in self.cloud.deleted[before:]:
                machine = self.cloud.machines[id]
                ours = machine.central == OURS and machine.intent.queue != OTHER
                assert ours, "a machine of others is deleted"
                guest = self.works.get(machine.intent.stamp)
                silent = at - guest.seen if guest and guest.machine is machine else LEASE + 1
                assert silent > LEASE, f"deleted with a live lease, {silent:.0f} s after its last word"

    async def check(self) -> None:
        rows = (await self.store.pilots(None, states=sorted(LIVE_PILOT), queue=self.queue, limit=1000))[0]
        out = [row for row in rows if row.state not in (PilotState.PLANNED, PilotState.SUBMITTING)]
        assert len(out) <= SLOTS, "more machines than slots"

    async def calm(self) -> None:
        """The faults have ended: jobs end, and when the graces have run out nothing is left after two turns."""
        await self.the_cloud_is_well(0)
        for _ in range(PATIENCE):
            if not await self.open_jobs():
                break
            await self.later(HOP)
            await self.a_turn(0)
        assert not await self.open_jobs(), f"jobs have not ended: {self.mine.decision}"
        for _ in range(int((HANGS + max(BOOT_DEADLINE, STRANGE)) / HOP) + 1):
            await self.later(HOP)
            await self.a_turn(0)
        for _ in range(2):
            await self.a_turn(0)
            await self.later(60.0)
        left = [one for one in self.cloud.there() if one.central == OURS and one.intent.queue != OTHER]
        assert not left, f"machines are left over: {left}"
        assert not await self.store.live_pilots(self.queue), "the journal has pilots without machines"
        deleted = {id for _, id in self.cloud.deleted}
        rows = [row for row in await self.store.live_pilots(self.yesterday) if row.reference in deleted]
        assert not rows, "machines of a queue of yesterday were deleted, and their pilots are not closed"

    async def open_jobs(self) -> bool:
        states = [(await self.store.job(None, job)).job.state for job in self.jobs if job not in self.ledger.final]
        return any(state not in FINAL and state is not JobState.HELD for state in states)

    async def deletions_are_refused(self, _: int) -> None:
        await self.stubborn(Fault.DELETE_REFUSED)

    async def deletions_are_ignored(self, _: int) -> None:
        await self.stubborn(Fault.DELETE_IGNORED)

    async def stubborn(self, fault: Fault) -> None:
        """The cloud does not delete what it should: it is asked again in each turn, and a person is told."""
        await self.the_cloud_is_well(0)
        self.cloud.faults = {fault}
        asked = 0
        for _ in range(4):
            await self.later(HOP + 1)
            asked = len(self.cloud.deleted)
            await self.a_turn(0)
        again = {id for _, id in self.cloud.deleted[asked:]}
        now, first = self.clock(), {id: at for at, id in reversed(self.cloud.deleted[self.since :])}
        for machine in self.cloud.there():
            if now - first.get(machine.id, now) > STUCK and machine.state(now) is not State.DELETING:
                assert machine.id in again, f"{machine.id} is not asked for again"
                assert self.work.alarms[-1], "nobody is told"


Happening = Callable[[Storm, int], Awaitable[None]]
Story = list[tuple[Happening, int]]


def lighten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines are told stamp and secret alone; and who draws stamps is put back when the test is over."""
    monkeypatch.setattr(elements, "compile_user_data", told)
    monkeypatch.setattr(submitting, "secrets", secrets)


async def several(
    seeds: Sequence[int], tell: Callable[[int], Story], look: Callable[[Storm], None] = lambda storm: None
) -> tuple[int, AssertionError] | None:
    """Weather the storms of these numbers over one store, and look at each afterwards; the first that breaks a law, and
    how."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        clock = Clock()
        store = SqliteStore(Path(folder) / "central.db", clock)
        await store.open()
        try:
            for seed in seeds:
                clock.forward(LEAD)  # the one before leads no more
                storm = Storm(seed, clock, store)
                try:
                    await weathered(storm, tell(seed))
                    look(storm)
                except AssertionError as broken:
                    return seed, broken
        finally:
            await store.close()
    return None


async def weathered(storm: Storm, story: Story) -> None:
    setattr(submitting, "secrets", Drawn(storm.rng))  # noqa: B010 - mypy: it is not exported
    for what, number in story:
        await what(storm, number)
        await storm.check()
    await storm.calm()
