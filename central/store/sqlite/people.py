"""What people do to jobs: kill, hold, release, reschedule, re-prioritise. Statements here treat many jobs at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from central.records import Changed, Identity, Requeued, Waiting
from central.store import codec
from central.store.decide import MAX_REASON, check_job, gathered, verb_problem
from central.store.sqlite import pages, waiting
from central.store.sqlite.submission import next_id
from pilot.errors import Refusal
from pilot.states import LEASED, JobState
from pilot.views import JobVerb, Selection, VerbResult

JOBS = """
    SELECT id AS job, state, queue, priority FROM jobs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id
"""
MOVE = """
    UPDATE jobs SET state = :state, changed = :now, reason = :reason
    WHERE id IN (SELECT value FROM json_each(:jobs))
"""
# After a look by a person a job has all its blameless ends before it again.
RELEASE = """
    UPDATE jobs SET state = 'waiting', changed = :now, reason = :reason, blameless_ends = 0
    WHERE id IN (SELECT value FROM json_each(:jobs))
"""
PRIORITY = "UPDATE jobs SET priority = :priority, changed = :now WHERE id IN (SELECT value FROM json_each(:jobs))"
# A kill order for each attempt of these jobs that is out.
KILL_ORDERS = """
    INSERT INTO orders (pilot, epoch, verb, job, attempt, argument, reason, who, created)
    SELECT pilots.id, pilots.epoch, 'kill', attempts.job, attempts.attempt, '', :reason, :who, :now
    FROM jobs
    JOIN attempts ON attempts.job = jobs.id AND attempts.attempt = jobs.attempt AND attempts.phase <> 'ended'
    JOIN pilots ON pilots.id = attempts.pilot
    WHERE jobs.id IN (SELECT value FROM json_each(:jobs))
"""
HOLDERS = """
    SELECT DISTINCT pilots.stamp
    FROM jobs
    JOIN attempts ON attempts.job = jobs.id AND attempts.attempt = jobs.attempt AND attempts.phase <> 'ended'
    JOIN pilots ON pilots.id = attempts.pilot
    WHERE jobs.id IN (SELECT value FROM json_each(?))
"""
# New jobs of the same documents, in the order of the old ones.
RESCHEDULE = """
    INSERT INTO jobs (id, document, queue, community, "group", owner, name, parameters, inputs,
                      state, priority, retries, submitted, changed, parent, reason)
    SELECT :first + row_number() OVER (ORDER BY id) - 1, document, queue, community, "group", owner, name, parameters,
           inputs, 'waiting', priority, retries, :now, :now, id, :reason
    FROM jobs WHERE id IN (SELECT value FROM json_each(:jobs))
"""
RESCHEDULED = """
    INSERT INTO job_counts (community, state, jobs)
    SELECT community, 'waiting', count(*) FROM jobs WHERE id IN (SELECT value FROM json_each(?)) GROUP BY community
    ON CONFLICT (community, state) DO UPDATE SET jobs = jobs + excluded.jobs
"""


@dataclass(frozen=True)
class _Target:
    """A job that is meant, as it is before."""

    job: int
    state: JobState
    queue: int
    priority: int

    def counted(self) -> Requeued:
        """As the matcher counts it."""
        return Requeued(self.queue, self.job, self.priority)


@dataclass(frozen=True)
class _Change:
    """Who changes what, when and why."""

    db: sqlite3.Connection
    now: float
    who: str
    reason: str

    def sentence(self, done: str) -> str:
        return f"{done} by {self.who}" + (f": {self.reason}" if self.reason else "")

    def kill(self, targets: Sequence[_Target]) -> Changed:
        jobs = self._move(targets, JobState.KILLED, "killed")
        leased = codec.text([target.job for target in targets if target.state in LEASED])
        values = {"jobs": leased, "who": self.who, "reason": self.sentence("killed"), "now": self.now}
        self.db.execute(KILL_ORDERS, values)
        ordered = tuple(row[0] for row in self.db.execute(HOLDERS, (leased,)))
        return Changed(jobs, removed=_waiting(targets), ordered=ordered)

    def hold(self, targets: Sequence[_Target]) -> Changed:
        return Changed(self._move(targets, JobState.HELD, "held"), removed=_waiting(targets))

    def release(self, targets: Sequence[_Target]) -> Changed:
        for target in targets:
            check_job(target.job, target.state, JobState.WAITING)
        self.db.execute(RELEASE, {"jobs": _ids(targets), "now": self.now, "reason": self.sentence("released")})
        return Changed(_changed(targets, JobState.WAITING), added=self._added(targets))

    def reschedule(self, targets: Sequence[_Target]) -> Changed:
        first = next_id(self.db)
        values = {"jobs": _ids(targets), "first": first, "now": self.now, "reason": self.sentence("rescheduled")}
        self.db.execute(RESCHEDULE, values)
        self.db.execute(RESCHEDULED, (values["jobs"],))
        results = tuple(
            VerbResult(target.job, True, target.state, new_job=new) for new, target in enumerate(targets, first)
        )
        new_jobs = [Requeued(target.queue, new, target.priority) for new, target in enumerate(targets, first)]
        return Changed(results, added=self._gathered(new_jobs))

    def prioritise(self, targets: Sequence[_Target], priority: int) -> Changed:
        self.db.execute(PRIORITY, {"jobs": _ids(targets), "now": self.now, "priority": priority})
        removed = _waiting(targets)
        moved = [Requeued(job.queue, job.job, priority) for job in removed]
        results = tuple(VerbResult(target.job, True, target.state) for target in targets)
        return Changed(results, added=self._gathered(moved), removed=removed)

    def _move(self, targets: Sequence[_Target], state: JobState, done: str) -> tuple[VerbResult, ...]:
        for target in targets:
            check_job(target.job, target.state, state)
        values = {"jobs": _ids(targets), "now": self.now, "state": state, "reason": self.sentence(done)}
        self.db.execute(MOVE, values)
        return _changed(targets, state)

    def _added(self, targets: Sequence[_Target]) -> tuple[Waiting, ...]:
        return self._gathered([target.counted() for target in targets])

    def _gathered(self, jobs: Sequence[Requeued]) -> tuple[Waiting, ...]:
        return gathered(waiting.load(self.db, (job.queue for job in jobs)), jobs)


def change(
    db: sqlite3.Connection,
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
    ids = pages.select(db, community, selection)
    rows = db.execute(JOBS, (codec.text(ids),)).fetchall()
    targets = [_Target(row["job"], JobState(row["state"]), row["queue"], row["priority"]) for row in rows]
    problems = {target.job: _problem(verb, target, priority) for target in targets}
    able = [target for target in targets if not problems[target.job]]
    done = _do(_Change(db, now, who.user, reason[:MAX_REASON]), verb, able, priority)
    refused = tuple(
        VerbResult(target.job, False, target.state, problems[target.job]) for target in targets if problems[target.job]
    )
    missing = tuple(
        VerbResult(job, False, None, "there is no such job that you may see")
        for job in sorted(set(selection.ids) - set(ids))
    )
    results = sorted((*done.results, *refused, *missing), key=lambda result: result.job)
    return Changed(tuple(results), done.added, done.removed, done.ordered)


def _do(change: _Change, verb: JobVerb, targets: Sequence[_Target], priority: int | None) -> Changed:
    if not targets:
        return Changed(())
    if verb == "priority" and priority is not None:
        return change.prioritise(targets, priority)
    verbs = {"kill": change.kill, "hold": change.hold, "release": change.release, "reschedule": change.reschedule}
    return verbs[verb](targets)


def _problem(verb: JobVerb, target: _Target, priority: int | None) -> str:
    if problem := verb_problem(verb, target.state):
        return problem
    return f"its priority is {priority} already" if verb == "priority" and target.priority == priority else ""


def _ids(targets: Sequence[_Target]) -> str:
    return codec.text([target.job for target in targets])


def _changed(targets: Sequence[_Target], state: JobState) -> tuple[VerbResult, ...]:
    return tuple(VerbResult(target.job, True, state) for target in targets)


def _waiting(targets: Sequence[_Target]) -> tuple[Requeued, ...]:
    """Those that wait now and, with this change, are not counted there any more."""
    return tuple(target.counted() for target in targets if target.state is JobState.WAITING)
