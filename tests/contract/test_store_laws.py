"""The laws of a store, tried with sequences of verbs that nobody thought of.

A job is leased to one pilot at a time, its attempts are numbered without a repeat, it ends once and stays so; what the
verbs answer is all that a matcher needs to know what waits; counters are what a fresh count gives; and each attempt
that ended is accounted for once.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from central.records import Beat, Changed, Ended, Leased, Limit, Pick, Requeued, Waiting
from central.store.port import Store
from pilot.errors import Refusal
from pilot.protocol import AttemptReport, GoodbyeRequest, LeaseReport
from pilot.states import FINAL, LEASED, JobState, Outcome, Phase, PilotReason, PilotState
from pilot.views import JobVerb
from tests.contract.stores import (
    ADA,
    LEASE,
    NARROW,
    SILENT,
    STORES,
    WIDE,
    Clock,
    Worker,
    digest,
    ended,
    enrol,
    ids,
    submit,
    waiting_jobs,
)

T = TypeVar("T")


class StoreMachine(RuleBasedStateMachine):
    """Does anything to a store, keeps a ledger of what it answered, and compares the two after each step."""

    kind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.store: Store = STORES[self.kind](Path(self.folder.name), self.clock)
        self.run(self.store.open())
        self.waiting: Counter[tuple[int, int]] = Counter()  # (queue, priority) → jobs, by what was answered
        self.out: dict[int, tuple[str, int]] = {}  # job → (stamp, attempt) of its lease
        self.final: dict[int, JobState] = {}
        self.jobs: list[int] = []
        self.attempts: set[tuple[int, int]] = set()
        self.booked: set[tuple[int, int]] = set()  # attempts that ended, but for those given back
        self.old: list[tuple[Worker, Leased]] = []  # every lease there ever was
        self.workers: list[Worker] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    # -- the ledger

    def added(self, rows: Iterable[Waiting]) -> None:
        for row in rows:
            for priority, count in row.counts.items():
                self.waiting[row.queue.id, priority] += count

    def removed(self, jobs: Iterable[Requeued]) -> None:
        self.waiting.subtract((job.queue, job.priority) for job in jobs)

    def requeued(self, jobs: Iterable[Requeued]) -> None:
        for job in jobs:
            assert self.out.pop(job.job, None), f"job {job.job} came back and was not out"
            self.waiting[job.queue, job.priority] += 1

    def ended(self, ends: Iterable[Ended]) -> None:
        for end in ends:
            assert (end.job, end.attempt) not in self.booked, f"attempt {end.attempt} of job {end.job} ended twice"
            self.booked.add((end.job, end.attempt))
            if end.requeued:
                self.requeued([end.requeued])
            elif end.job in self.out:
                del self.out[end.job]
                self.ends(end.job, end.state)

    def ends(self, job: int, state: JobState) -> None:
        if state in FINAL:
            assert job not in self.final, f"job {job} ended twice"
            self.final[job] = state

    # -- what happens

    @initialize()
    def begin(self) -> None:
        self.more_jobs(3, False, 5)
        self.another_pilot()

    @rule(count=st.integers(1, 5), wide=st.booleans(), priority=st.sampled_from([0, 5, 9]))
    def more_jobs(self, count: int, wide: bool, priority: int) -> None:
        before = self.run(waiting_jobs(self.store))
        self.jobs += self.run(submit(self.store, count, priority=priority, retries=1, needs=WIDE if wide else NARROW))
        self.waiting.update(Counter(self.run(waiting_jobs(self.store))) - Counter(before))

    @precondition(lambda self: len(self.workers) < 4)
    @rule()
    def another_pilot(self) -> None:
        self.workers.append(self.run(enrol(self.store, len(self.workers) + 1)))

    @rule(data=st.data(), count=st.integers(1, 3), cores=st.integers(1, 2), repeat=st.booleans())
    def claim(self, data: st.DataObject, count: int, cores: int, repeat: bool) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        if not repeat:
            worker.number += 1
        queues = sorted({queue for queue, _ in self.waiting}) or [1]
        picks = [Pick(queue, count, cores, ("few", "cores", "unknown")) for queue in queues]
        claim = self.run(self.store.claim(worker.stamp, 1, worker.number, picks))
        for leased in claim.leases:
            if (leased.job, leased.attempt) in self.attempts:
                assert repeat
                assert self.out[leased.job] == (worker.stamp, leased.attempt)
                continue
            assert leased.job not in self.out, f"job {leased.job} is leased twice"
            assert leased.job not in self.final, f"job {leased.job} is leased after its end"
            self.attempts.add((leased.job, leased.attempt))
            self.out[leased.job] = (worker.stamp, leased.attempt)
            self.waiting[leased.queue, leased.priority] -= 1
            self.old.append((worker, leased))

    @rule(attempts=st.sampled_from([None, 0, 1, 4]), cores=st.sampled_from([None, 3]))
    def limits_change(self, attempts: int | None, cores: int | None) -> None:
        limits = [Limit("few", attempts=attempts, site="here"), Limit("cores", cores=cores, owner="ada")]
        self.run(self.store.set_limits(limits))

    @precondition(lambda self: self.old)
    @rule(data=st.data(), outcome=st.sampled_from([None, None, *Outcome]))
    def report(self, data: st.DataObject, outcome: Outcome | None) -> None:
        """Of a lease that is current or long gone; both are said by pilots."""
        worker, leased = data.draw(st.sampled_from(self.old))
        report = AttemptReport(Phase.RUNNING) if outcome is None else ended(outcome)
        current = self.out.get(leased.job) == (worker.stamp, leased.attempt)
        try:
            end = self.run(self.store.report(worker.stamp, leased.job, leased.attempt, report))
        except Refusal as refusal:
            assert refusal.type == "stale-attempt"
            assert not current
            return
        if current and outcome is not None:
            assert end is not None
        if end is not None:
            self.ended([end])

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        worker, leased = data.draw(st.sampled_from(self.old))
        try:
            self.requeued(self.run(self.store.release(worker.stamp, [(leased.job, leased.attempt)], "")))
        except Refusal as refusal:
            assert refusal.type == "conflict"

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), through=st.integers(0, 5), forget=st.booleans())
    def heartbeat(self, data: st.DataObject, through: int, forget: bool) -> None:
        worker = data.draw(st.sampled_from(self.workers))
        held = self.run(self.store.held(worker.stamp))
        listed = [LeaseReport(live.job, live.attempt, live.phase) for live in held[1 if forget else 0 :]]
        self.requeued(self.run(self.store.return_unseen(worker.stamp, {1: through}, listed)))
        self.run(self.store.beat([Beat(worker.stamp, self.clock.time)]))

    @rule(
        data=st.data(),
        verb=st.sampled_from(["kill", "hold", "release", "reschedule", "priority"]),
        priority=st.sampled_from([0, 5, 9]),
    )
    def people(self, data: st.DataObject, verb: JobVerb, priority: int) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.jobs), min_size=1, max_size=3))
        changed: Changed = self.run(self.store.change(ADA, "atlas", verb, ids(*chosen), priority=priority))
        self.added(changed.added)
        self.removed(changed.removed)
        for result in changed.results:
            if result.changed and verb == "kill":
                self.out.pop(result.job, None)
                self.ends(result.job, JobState.KILLED)
            if result.new_job:
                self.jobs.append(result.new_job)

    @rule(seconds=st.sampled_from([1.0, SILENT + 1, LEASE + 1.0, 5000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self.run(self.store.roll_up())
        self.ended(self.run(self.store.sweep(SILENT)).ended)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), how=st.sampled_from(["goodbye", "signal", "gone", "resume", "drain"]))
    def a_pilot_ends(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.integers(0, len(self.workers) - 1))
        worker = self.workers[number]
        try:
            self.ended(self.run(self._lose(worker, number + 1, how)))
        except Refusal as refusal:
            assert refusal.type == "revoked"  # of a pilot that was over before

    async def _lose(self, worker: Worker, number: int, how: str) -> tuple[Ended, ...]:
        if how == "goodbye":
            return await self.store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.IDLE))
        if how == "signal":
            return await self.store.goodbye(worker.stamp, GoodbyeRequest(PilotReason.SIGNAL))
        if how == "gone":
            return await self.store.end_pilot(worker.stamp, PilotState.LOST, PilotReason.GONE)
        if how == "drain":
            await self.store.drain(worker.stamp)
            return ()
        row = await self.store.pilot(worker.stamp)
        _, ends = await self.store.resume(worker.stamp, digest(f"key {number}"), row.epoch, "")
        worker.number = 0
        return ends

    # -- what always holds

    @invariant()
    def the_answers_say_what_waits(self) -> None:
        assert self.run(waiting_jobs(self.store)) == {key: count for key, count in self.waiting.items() if count}

    @invariant()
    def a_job_is_where_the_ledger_has_it(self) -> None:
        for job in self.jobs:
            state = self.run(self.store.job(None, job)).job.state
            assert (state in LEASED) == (job in self.out), f"job {job} is {state}"
            assert self.final.get(job, state) is state, f"job {job} was {self.final[job]} and is {state}"
            assert (state in FINAL) == (job in self.final)

    @invariant()
    def jobs_are_counted_right(self) -> None:
        states = Counter(self.run(self.store.job(None, job)).job.state for job in self.jobs)
        assert self.run(self.store.counts())["jobs"] == states

    @invariant()
    def limits_are_counted_right(self) -> None:
        held = [live for worker in self.workers for live in self.run(self.store.held(worker.stamp))]
        out = (len(held), sum(live.cores for live in held))
        assert {(use.attempts, use.cores) for use in self.run(self.store.limits())} <= {out}

    @invariant()
    def each_end_is_accounted_for_once(self) -> None:
        used = self.run(self.store.usage(None, by=(), since=0.0, until=self.clock.time + 1, span=None))
        assert sum(one.attempts for one in used) == len(self.booked)

    @invariant()
    def what_is_out_is_held_once(self) -> None:
        held = [live for worker in self.workers for live in self.run(self.store.held(worker.stamp))]
        alive = {live.job: (live.stamp, live.attempt) for live in held if live.job in self.out}
        assert alive == self.out
        assert len({live.job for live in held}) == len(held)


TestSqlite = StoreMachine.TestCase
TestSqlite.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


class PostgresMachine(StoreMachine):
    """The same over PostgreSQL."""

    kind = "postgres"


TestPostgres = PostgresMachine.TestCase
TestPostgres.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
