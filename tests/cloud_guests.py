"""Pilots on machines of a cloud in memory, as far as a store sees them: they enrol, beat, take jobs, report and end.

What a machine is told is its stamp and secret alone: compiling real user-data takes longer than all the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from central.clouds.fake import FakeCloud
from central.clouds.fake_machine import FakeMachine
from central.records import Beat, Ended, PilotRow
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import Fact, GoodbyeRequest
from pilot.states import FINAL, LIVE_PILOT, JobState, PilotReason
from tests.contract.stores import Worker, digest, ended, enrolment
from wrappers.user_data.clouds import Cloud as Takes
from wrappers.user_data.compile import UserData
from wrappers.user_data.model import Boot

#: Of each machine.
CORES = 2
#: Seconds without a job after which a machine halts; seconds without a word of the central after which it does.
IDLE, NO_CONTACT = 300.0, 7200.0
LONGEST_JOB = 3000.0
#: Seconds between two heartbeats.
BEAT = 60.0


def told(boot: Boot, takes: Takes) -> UserData:
    """In the place of `compile_user_data`."""
    text = f"{boot.bootstrap.stamp} {boot.secret} {boot.life}"
    return UserData(text.encode(), text, len(text))


class Ledger:
    """What became of jobs, by what the store's verbs answered."""

    def __init__(self) -> None:
        self.attempts: set[tuple[int, int]] = set()  # that ended
        self.final: dict[int, JobState] = {}

    def ended(self, ends: Iterable[Ended]) -> None:
        for end in ends:
            assert (end.job, end.attempt) not in self.attempts, f"attempt {end.attempt} of job {end.job} ended twice"
            self.attempts.add((end.job, end.attempt))
            if end.state in FINAL:
                assert end.job not in self.final, f"job {end.job} ended twice"
                self.final[end.job] = end.state


@dataclass(eq=False)
class Guest:
    """The pilot of one machine. Times in seconds."""

    machine: FakeMachine
    worker: Worker
    life: float  # of the machine, which then powers off by itself
    enrolled: bool = False
    epoch: int = 0
    seen: float = 0.0  # when its central heard of it last
    idle_since: float = 0.0
    hangs: bool = False  # for good, with all that the machine runs
    cut_until: float = 0.0
    over: bool = False  # it has said goodbye, or was sent away
    jobs: dict[tuple[int, int], float] = field(default_factory=dict)  # (job, attempt) → when it will be done

    @property
    def stamp(self) -> str:
        return self.machine.intent.stamp

    def may_hold(self, now: float, lease: float) -> bool:
        """Whether it runs jobs whose lease its central must take for live."""
        return self.machine.runs(now) and not self.over and bool(self.jobs) and now - self.seen <= lease


class Guests:
    """The pilots of all machines of one installation."""

    def __init__(self, cloud: FakeCloud, central: str, store: Store, ledger: Ledger, rng: random.Random) -> None:
        self.cloud = cloud
        self.central = central
        self.store = store
        self.ledger = ledger
        self.rng = rng
        self.queue: int | None = None  # the task queue that they take jobs of
        self.of: dict[str, Guest] = {}  # by the machine's id
        self.let_in: dict[str, str] = {}  # stamp → the machine that has enrolled as it

    @property
    def alive(self) -> list[Guest]:
        now = self.cloud.clock()
        return [guest for guest in self.of.values() if guest.machine.runs(now) and not guest.over]

    @property
    def idle_cores(self) -> int:
        return sum(CORES - len(guest.jobs) for guest in self.alive if guest.enrolled and not guest.hangs)

    async def turn(self) -> None:
        """All that run do what they have to, having been heard all the time until now."""
        now = self.cloud.clock()
        for machine in self.cloud.there():
            if machine.central == self.central and machine.calls and machine.runs(now) and machine.id not in self.of:
                _, _, life = machine.intent.user_data.decode().split() or ("", "", "0")
                self.of[machine.id] = Guest(machine, Worker(self.store, machine.intent.stamp), float(life), seen=now)
        heard = [guest for guest in self.alive if self._heard(guest, now)]
        for guest in heard:
            if not guest.enrolled:
                await self._enrol(guest, now)
            elif guest.epoch != guest.machine.boots:
                await self._resume(guest)
        await self._work([guest for guest in heard if guest.enrolled and not guest.over], now)

    def _heard(self, guest: Guest, now: float) -> bool:
        machine = guest.machine
        if guest.hangs:
            return False
        if now > machine.created + guest.life or now - guest.seen > NO_CONTACT:
            self._halt(guest)
            return False
        return now >= guest.cut_until

    def _halt(self, guest: Guest) -> None:
        guest.over, guest.jobs = True, {}
        self.cloud.power_off(guest.machine)

    async def _enrol(self, guest: Guest, now: float) -> None:
        stamp, secret, _ = guest.machine.intent.user_data.decode().split()
        facts = (Fact("instance", guest.machine.id, "cloud-init"),)
        try:
            await self.store.enrol(stamp, digest(secret), digest(guest.machine.id), enrolment(facts=facts))
        except Refusal:
            self._halt(guest)
            return
        assert stamp not in self.let_in, f"two machines have enrolled as {stamp}"
        self.let_in[stamp] = guest.machine.id
        guest.enrolled, guest.epoch, guest.idle_since = True, guest.machine.boots, now

    async def _resume(self, guest: Guest) -> None:
        guest.jobs, guest.worker.number = {}, 0
        try:
            row = await self.store.pilot(guest.stamp)
            _, ends = await self.store.resume(guest.stamp, digest(guest.machine.id), row.epoch, "")
        except Refusal:
            self._halt(guest)
            return
        self.ledger.ended(ends)
        guest.epoch = guest.machine.boots

    async def _work(self, guests: list[Guest], now: float) -> None:
        if not guests:
            return
        rows = {row.stamp: row for row in await self.store.find_pilots([guest.stamp for guest in guests])}
        for guest in guests:
            if rows[guest.stamp].state in LIVE_PILOT:
                guest.seen = max(guest.seen, now - self.rng.uniform(0.0, BEAT))
        await self.store.beat([Beat(one.stamp, one.seen) for one in guests if rows[one.stamp].state in LIVE_PILOT])
        for guest in guests:
            row = rows[guest.stamp]
            if row.state not in LIVE_PILOT:
                self._halt(guest)  # its central has told it that it is over
                continue
            if guest.machine.notice is not None:
                await self._goodbye(guest, PilotReason.SIGNAL)
            else:
                await self._jobs(guest, row, now)

    async def _jobs(self, guest: Guest, row: PilotRow, now: float) -> None:
        held = {(live.job, live.attempt) for live in await self.store.held(guest.stamp)} if guest.jobs else set()
        guest.jobs = {one: due for one, due in guest.jobs.items() if one in held}
        for job, attempt in [one for one, due in guest.jobs.items() if due <= now]:
            del guest.jobs[job, attempt]
            await self._report(guest, job, attempt)
        if not row.draining and self.queue is not None and len(guest.jobs) < CORES:
            claim = await guest.worker.claim(self.queue, CORES - len(guest.jobs))
            for leased in claim.leases:
                guest.jobs[leased.job, leased.attempt] = now + self.rng.uniform(60.0, LONGEST_JOB)
                await guest.worker.running(leased)
        if guest.jobs:
            guest.idle_since = now
        elif row.draining:
            await self._goodbye(guest, PilotReason.DRAINED)
        elif now - guest.idle_since >= IDLE:
            await self._goodbye(guest, PilotReason.IDLE)

    async def _report(self, guest: Guest, job: int, attempt: int) -> None:
        try:
            end = await self.store.report(guest.stamp, job, attempt, ended())
        except Refusal as refusal:
            assert refusal.type == "stale-attempt", refusal
            return
        self.ledger.ended([end] if end else [])

    async def _goodbye(self, guest: Guest, reason: PilotReason) -> None:
        self.ledger.ended(await self.store.goodbye(guest.stamp, GoodbyeRequest(reason)))
        if guest.machine.notice is None:
            self._halt(guest)
        guest.over, guest.jobs = True, {}
