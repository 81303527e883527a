"""What people do to jobs: kill, hold, release, reschedule, re-prioritise. Statements here treat many jobs at once.

The jobs are locked first, in the order of their ids, and what they are then decides: a claim or a report that came
first is seen, and one that comes later sees this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from central.records import Changed, Identity, Requeued, TaskQueue
from central.store.decide import MAX_REASON, check_job, gathered, verb_problem
from central.store.postgres import pages, waiting
from central.store.postgres.submission import take_ids
from pilot.errors import Refusal
from pilot.states import LEASED, JobState
from pilot.views import JobVerb, Selection, VerbResult

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

T = TypeVar("T")
P = ParamSpec("P")

#: Jobs above which what they mean is computed away from the event loop.
MANY = 1000

# One that has left the states meant since it was selected is not meant any more.
LOCK = """
    SELECT id, state, queue, priority FROM jobs
    WHERE id = ANY ($1::bigint[]) AND ($2::text[] IS NULL OR state = ANY ($2))
    ORDER BY id
    FOR NO KEY UPDATE
"""
MOVE = "UPDATE jobs SET state = $2, changed = $3, reason = $4 WHERE id = ANY ($1::bigint[])"
# After a look by a person a job has all its blameless ends before it again.
RELEASE = """
    UPDATE jobs SET state = 'waiting', changed = $2, reason = $3, blameless_ends = 0 WHERE id = ANY ($1::bigint[])
"""
PRIORITY = "UPDATE jobs SET priority = $2, changed = $3 WHERE id = ANY ($1::bigint[])"
# A kill order for each attempt of these jobs that is out; who has to follow them.
KILL_ORDERS = """
    WITH out AS (
        SELECT pilots.id, pilots.stamp, pilots.epoch, attempts.job, attempts.attempt
        FROM jobs
        JOIN attempts ON attempts.job = jobs.id AND attempts.attempt = jobs.attempt AND attempts.ended IS NULL
        JOIN pilots ON pilots.id = attempts.pilot
        WHERE jobs.id = ANY ($1::bigint[])
    ), written AS (
        INSERT INTO orders (pilot, epoch, verb, job, attempt, argument, reason, who, created)
        SELECT id, epoch, 'kill', job, attempt, '', $2, $3, $4 FROM out
    )
    SELECT DISTINCT stamp FROM out
"""
# New jobs of the same documents, in the order of the old ones.
RESCHEDULE = """
    INSERT INTO jobs (id, document, queue, community, "group", owner, name, parameters, inputs,
                      state, priority, retries, submitted, changed, parent, reason)
    SELECT $2 + row_number() OVER (ORDER BY id) - 1, document, queue, community, "group", owner, name, parameters,
           inputs, 'waiting', priority, retries, $3, $3, id, $4
    FROM jobs WHERE id = ANY ($1::bigint[])
"""
# There are so many more jobs of each document.
MORE_OF = """
    WITH more AS (
        SELECT documents.id, renewed.jobs
        FROM (SELECT document, count(*) AS jobs FROM jobs WHERE id = ANY ($1::bigint[]) GROUP BY document) AS renewed
        JOIN documents ON documents.id = renewed.document
        ORDER BY documents.id
        FOR UPDATE OF documents
    )
    UPDATE documents SET jobs = documents.jobs + more.jobs FROM more WHERE documents.id = more.id
"""


@dataclass(frozen=True)
class _Target:
    """A job that is meant, as it is before; and why it cannot be so treated, if so."""

    job: int
    state: JobState
    queue: int
    priority: int
    problem: str


@dataclass(frozen=True)
class _Done:
    """What was written for the targets without a problem."""

    state: JobState | None = None  # the new one
    first: int = 0  # id of the new jobs
    ordered: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Change:
    """Who changes what, when and why. Its verbs write."""

    db: Database
    now: float
    who: str
    reason: str

    async def kill(self, targets: Sequence[_Target], jobs: Sequence[int]) -> _Done:
        reason = self._sentence("killed")
        _check(targets, JobState.KILLED)
        await self.db.execute(MOVE, jobs, JobState.KILLED, self.now, reason)
        leased = [target.job for target in targets if target.state in LEASED]
        holders = await self.db.fetch(KILL_ORDERS, leased, reason, self.who, self.now) if leased else []
        return _Done(JobState.KILLED, ordered=tuple(row["stamp"] for row in holders))

    async def hold(self, targets: Sequence[_Target], jobs: Sequence[int]) -> _Done:
        _check(targets, JobState.HELD)
        await self.db.execute(MOVE, jobs, JobState.HELD, self.now, self._sentence("held"))
        return _Done(JobState.HELD)

    async def release(self, targets: Sequence[_Target], jobs: Sequence[int]) -> _Done:
        _check(targets, JobState.WAITING)
        await self.db.execute(RELEASE, jobs, self.now, self._sentence("released"))
        return _Done(JobState.WAITING)

    async def reschedule(self, targets: Sequence[_Target], jobs: Sequence[int]) -> _Done:
        first = await take_ids(self.db, len(jobs))
        await self.db.execute(RESCHEDULE, jobs, first, self.now, self._sentence("rescheduled"))
        await self.db.execute(MORE_OF, jobs)
        return _Done(first=first)

    async def prioritise(self, jobs: Sequence[int], priority: int) -> _Done:
        await self.db.execute(PRIORITY, jobs, priority, self.now)
        return _Done()

    def _sentence(self, done: str) -> str:
        return f"{done} by {self.who}" + (f": {self.reason}" if self.reason else "")


async def change(
    db: Database,
    now: float,
    who: Identity,
    community: str | None,
    verb: JobVerb,
    selection: Selection,
    *,
    priority: int | None,
    reason: str,
) -> Changed:
    if verb == "priority" and (priority is None or not 0 <= priority <= 10):
        raise Refusal("invalid", f"priority: expected a whole number from 0 to 10, got {priority}")
    ids = await pages.select(db, community, selection)
    rows = await db.fetch(LOCK, ids, list(selection.states) or None)
    targets = await _aside(len(rows), _targets, rows, verb, priority)
    able = [target for target in targets if not target.problem]
    done = _Done()
    if able:
        done = await _do(_Change(db, now, who.user, reason[:MAX_REASON]), verb, able, priority)
    queues = await waiting.load(db, {target.queue for target in able})
    return await _aside(len(targets), _changed, verb, priority, selection, targets, done, queues)


async def _aside(jobs: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call something that computes for long about many jobs away from the event loop."""
    return await asyncio.to_thread(work, *args, **kwargs) if jobs > MANY else work(*args, **kwargs)


def _targets(rows: Sequence[Row], verb: JobVerb, priority: int | None) -> list[_Target]:
    problems = {state.value: verb_problem(verb, state) for state in JobState}
    same = f"its priority is {priority} already"
    return [
        _Target(
            row["id"],
            JobState(row["state"]),
            row["queue"],
            row["priority"],
            problems[row["state"]] or (same if verb == "priority" and row["priority"] == priority else ""),
        )
        for row in rows
    ]


def _check(targets: Sequence[_Target], new: JobState) -> None:
    """Refuse a change that the table of states does not have; of each state one job speaks for all."""
    for target in {target.state: target for target in targets}.values():
        check_job(target.job, target.state, new)


async def _do(change: _Change, verb: JobVerb, targets: Sequence[_Target], priority: int | None) -> _Done:
    jobs = [target.job for target in targets]
    if verb == "priority" and priority is not None:
        return await change.prioritise(jobs, priority)
    verbs = {"kill": change.kill, "hold": change.hold, "release": change.release, "reschedule": change.reschedule}
    return await verbs[verb](targets, jobs)


def _changed(
    verb: JobVerb,
    priority: int | None,
    selection: Selection,
    targets: Sequence[_Target],
    done: _Done,
    queues: Mapping[int, TaskQueue],
) -> Changed:
    """The answer: a result for each job, and what the matcher counts differently now."""
    able = [target for target in targets if not target.problem]
    new = {target.job: job for job, target in enumerate(able, done.first)} if done.first else {}
    results = [
        VerbResult(target.job, False, target.state, target.problem)
        if target.problem
        else VerbResult(target.job, True, done.state or target.state, new_job=new.get(target.job))
        for target in targets
    ]
    missing = set(selection.ids).difference(target.job for target in targets)
    results += [VerbResult(job, False, None, "there is no such job that you may see") for job in missing]
    results.sort(key=lambda result: result.job)
    waited = [target for target in able if target.state is JobState.WAITING]  # not so any more, or not as before
    removed = tuple(Requeued(target.queue, target.job, target.priority) for target in waited)
    added: list[Requeued] = []
    if verb == "priority" and priority is not None:
        added = [Requeued(target.queue, target.job, priority) for target in waited]
    elif verb in ("release", "reschedule"):
        added = [Requeued(target.queue, new.get(target.job, target.job), target.priority) for target in able]
    return Changed(tuple(results), gathered(queues, added), removed, done.ordered)
