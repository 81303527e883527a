"""Every store under test, and what a test needs to speak with one: a clock, people, documents, pilots that work.

To add a store, add a row to STORES.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from central.records import Claim, Ended, Identity, Leased, NewJobs, NewPilot, Pick
from central.store.port import Store
from central.store.postgres import PostgresStore
from central.store.sqlite import SqliteStore
from pilot.errors import Refusal
from pilot.protocol import AttemptReport, EnrolRequest, Fact, JobSpec, Needs, Usage
from pilot.states import JobState, Outcome, Phase
from pilot.views import Selection
from tests.postgres import cluster, missing

ADA = Identity("ada", "atlas", "physics", "member")
BOB = Identity("bob", "atlas", "physics", "member")
EVE = Identity("eve", "lhcb", "flavour", "member")

LEASE = 600
SILENT = 180.0
FAR = 1e6  # seconds: longer than any test turns the clock


class Clock:
    """The database's time, which stands until a test turns it."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def __call__(self) -> float:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += seconds


def postgres(clock: Clock | None) -> PostgresStore:
    """One over an empty database of the tests' own server. Without a clock the time is the server's."""
    if lack := missing():
        pytest.skip(f"lacks {lack}")  # which CI counts as a failure
    return PostgresStore(cluster().spare(), clock)


STORES: Mapping[str, Callable[[Path, Clock], Store]] = {
    "sqlite": lambda folder, clock: SqliteStore(folder / "central.db", clock),
    "postgres": lambda folder, clock: postgres(clock),
}


def document(count: int = 1, **spec: object) -> NewJobs:
    """A sweep over `n` of so many members, with whatever of its spec matters to the test."""
    template = replace(JobSpec(command=("./run", "{n}"), name="run-{n}"), **spec)  # type: ignore[arg-type]
    return NewJobs(template, [({"n": str(number)}, None) for number in range(count)])


async def submit(store: Store, count: int = 1, who: Identity = ADA, **spec: object) -> list[int]:
    """Submit a sweep; the ids of its jobs."""
    submitted = await store.submit(who, [document(count, **spec)], None, "")
    first, number = submitted.first_ids[0]
    return list(range(first, first + number))


async def queue_of(store: Store, job: int) -> int:
    waiting = await store.task_queue(job)
    assert waiting is not None
    return waiting.queue.id


async def state_of(store: Store, job: int) -> JobState:
    return (await store.job(None, job)).job.state


async def waiting_jobs(store: Store) -> dict[tuple[int, int], int]:
    """(queue, priority) → jobs, as the matcher would load it."""
    return {
        (waiting.queue.id, priority): count
        for waiting in await store.waiting()
        for priority, count in waiting.counts.items()
    }


async def refused(answer: object) -> str:
    """The type of the refusal that an awaited verb raises."""
    try:
        await answer  # type: ignore[misc]
    except Refusal as refusal:
        return refusal.type
    raise AssertionError("expected a refusal")


def stamp(number: int) -> str:
    return f"{number:032x}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def intent(number: int = 1, **changes: object) -> NewPilot:
    """What a director writes down before it submits."""
    intent = NewPilot(
        stamp=stamp(number),
        site="here",
        queue="local",
        communities=("atlas",),
        secret_hash=digest(f"secret {number}"),
        secret_ttl=FAR,
        lease=LEASE,
        end_of_life=None,
    )
    return replace(intent, **changes)  # type: ignore[arg-type]


def enrolment(**changes: object) -> EnrolRequest:
    return replace(EnrolRequest("secret", "key", "1.0"), **changes)  # type: ignore[arg-type]


async def submit_pilot(store: Store, number: int = 1, **changes: object) -> str:
    """A pilot that the computing element has, and that has not called yet."""
    new = intent(number, **changes)
    await store.plan_pilot(new)
    epoch = await store.lead("directors", "this central", FAR)
    assert epoch is not None
    assert await store.submitting(new.stamp, "directors", epoch)
    await store.submitted(new.stamp, f"reference {number}")
    return new.stamp


async def enrol(store: Store, number: int = 1, host: str = "", **changes: object) -> Worker:
    """A pilot that runs, on a machine that it may name."""
    new = await submit_pilot(store, number, **changes)
    facts = (Fact("host", host, "uname"),) if host else ()
    await store.enrol(new, digest(f"secret {number}"), digest(f"key {number}"), enrolment(facts=facts))
    return Worker(store, new)


@dataclass
class Worker:
    """A pilot that runs, with one agent that numbers its requests."""

    store: Store
    stamp: str
    agent: int = 1
    number: int = field(default=0)

    async def claim(self, queue: int, count: int = 1, cores: int = 1) -> Claim:
        return await self.ask(Pick(queue, count, cores))

    async def ask(self, *picks: Pick) -> Claim:
        """Claim what a matcher has picked."""
        self.number += 1
        return await self.store.claim(self.stamp, self.agent, self.number, picks)

    async def take(self, job: int) -> Leased:
        """Claim the next job of that job's queue, which is to be that job."""
        claim = await self.claim(await queue_of(self.store, job))
        assert [leased.job for leased in claim.leases] == [job], claim
        return claim.leases[0]

    async def running(self, leased: Leased) -> None:
        await self.store.report(self.stamp, leased.job, leased.attempt, AttemptReport(Phase.RUNNING))

    async def ended(self, leased: Leased, outcome: Outcome = Outcome.SUCCESS, **end: object) -> Ended | None:
        return await self.store.report(self.stamp, leased.job, leased.attempt, ended(outcome, **end))


def ended(outcome: Outcome = Outcome.SUCCESS, **end: object) -> AttemptReport:
    report = AttemptReport(Phase.ENDED, outcome, usage=Usage(wall=1.0, cpu=0.5))
    return replace(report, **end)  # type: ignore[arg-type]


def ids(*jobs: int) -> Selection:
    return Selection(ids=jobs)


NARROW = Needs(cores=1)
WIDE = Needs(cores=8)
