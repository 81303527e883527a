"""What happens to an attempt after the claim: reports, ends, and what goes back to the queue.

Whatever is to be done to attempts is decided on rows that are locked, and then written for all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.records import Ended, LiveAttempt, Requeued
from central.store.decide import End, Standing, check_job, stale, verdict
from central.store.postgres.connection import plain
from central.store.postgres.ends import Closing, write
from pilot.errors import Refusal
from pilot.protocol import AttemptReport, LeaseReport
from pilot.states import LEASED, PHASE_ORDER, JobState, Outcome, Phase

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

#: (job, attempt)
Key = tuple[int, int]

# An attempt with its pilot and its job's standing. The job is locked first and in the order of ids, as everywhere.
_WHOLE = """
    SELECT attempts.job, attempts.attempt, attempts.pilot, attempts.phase, attempts.closed, attempts.started,
           attempts.cores, attempts.site, attempts.usage, attempts.limits, pilots.stamp, pilots.queue AS door,
           pilots.host, hosts.site IS NOT NULL AS flawed, jobs.state AS job_state, jobs.attempt AS current, jobs.queue,
           jobs.priority, jobs.retries, jobs.retries_used, jobs.blameless_ends, jobs.community, jobs."group",
           jobs.owner, extract(epoch FROM clock_timestamp())::float8 AS now
    FROM jobs
    JOIN attempts ON attempts.job = jobs.id
    JOIN pilots ON pilots.id = attempts.pilot
    LEFT JOIN hosts ON hosts.site = attempts.site AND hosts.host = pilots.host
"""
SOME = f"""
    {_WHOLE}
    JOIN unnest($1::bigint[], $2::int[]) AS asked (job, attempt)
      ON asked.job = jobs.id AND asked.attempt = attempts.attempt
    ORDER BY jobs.id, attempts.attempt
    FOR NO KEY UPDATE OF jobs, attempts
"""
OUT_ON = f"""
    {_WHOLE}
    WHERE attempts.pilot = $1 AND attempts.ended IS NULL
    ORDER BY jobs.id, attempts.attempt
    FOR NO KEY UPDATE OF jobs, attempts
"""
# Attempts that go on to a next phase, and their jobs where these follow.
ADVANCE = """
    WITH advanced AS (
        UPDATE attempts
        SET phase = word.phase,
            running = CASE word.phase WHEN 'running' THEN $1 ELSE attempts.running END,
            running_message = CASE word.phase WHEN 'running' THEN word.message ELSE attempts.running_message END,
            completing = CASE word.phase WHEN 'completing' THEN $1 ELSE attempts.completing END,
            completing_message = CASE word.phase WHEN 'completing' THEN word.message
                                                 ELSE attempts.completing_message END
        FROM unnest($2::bigint[], $3::int[], $4::text[], $5::text[]) AS word (job, attempt, phase, message)
        WHERE attempts.job = word.job AND attempts.attempt = word.attempt AND attempts.ended IS NULL
    )
    UPDATE jobs SET state = word.phase, changed = $1
    FROM unnest($2::bigint[], $3::int[], $4::text[], $6::bool[]) AS word (job, attempt, phase, moves)
    WHERE jobs.id = word.job AND jobs.attempt = word.attempt AND word.moves
"""


@dataclass(frozen=True)
class Report:
    """What a pilot says of an attempt."""

    stamp: str
    job: int
    attempt: int
    report: AttemptReport


@dataclass(frozen=True)
class Release:
    """Leases to be put back, uncharged; those that have started are refused, or taken too."""

    stamp: str
    leases: tuple[Key, ...]
    message: str
    started: bool = False


async def report(db: Database, clock: float | None, calls: Sequence[Report]) -> Sequence[Ended | Refusal | None]:
    answers: list[Ended | Refusal | None] = [None] * len(calls)
    left = list(enumerate(calls))
    while left:  # of one attempt one word after another, of different ones all together
        words = {(call.job, call.attempt): (number, call) for number, call in reversed(left)}
        left = [(number, call) for number, call in left if words[call.job, call.attempt][0] != number]
        rows = await _locked(db, list(words))
        further: list[tuple[Row, AttemptReport]] = []
        over: list[tuple[int, Closing]] = []
        for key, (number, call) in words.items():
            try:
                decided = _heard(rows.get(key), call)
            except Refusal as refusal:
                answers[number] = refusal
                continue
            if isinstance(decided, Closing):
                over.append((number, decided))
            elif decided is not None:
                further.append((decided, call.report))
        if not further and not over:
            continue
        now = next(iter(rows.values()))["now"] if clock is None else clock
        await _advance(db, now, further)
        ends = await write(db, now, [closing for _, closing in over])
        for (number, _), end in zip(over, ends, strict=True):
            answers[number] = end
    return answers


def _heard(row: Row | None, call: Report) -> Closing | Row | None:
    """What a word means for the attempt: its end, a next phase of that row, or nothing new."""
    job, attempt, report = call.job, call.attempt, call.report
    if row is not None and row["stamp"] != call.stamp:
        raise _not_yours(job, attempt)
    if row is None or row["closed"] not in (None, "reported"):
        raise stale(job, attempt)
    if row["closed"] or PHASE_ORDER[report.phase] <= PHASE_ORDER[Phase(row["phase"])]:
        return None
    if report.phase is Phase.ENDED:
        if report.outcome is None:
            raise Refusal("invalid", "outcome: expected how the attempt ended, got nothing")
        return _end(row, report.outcome, report, "reported")
    if _runs(row):
        check_job(job, JobState(row["job_state"]), JobState(report.phase.value))
    return row


def _end(row: Row, outcome: Outcome, end: AttemptReport, closed: str) -> Closing:
    """Close an attempt with an outcome, and decide on its job."""
    if not _runs(row):
        return Closing(row, end, closed, outcome)
    standing = Standing(row["attempt"], row["retries"], row["retries_used"], row["blameless_ends"])
    decided = verdict(standing, outcome, end)
    check_job(row["job"], JobState(row["job_state"]), decided.state)
    return Closing(row, end, closed, outcome, decided)


async def end_all(db: Database, now: float, pilot: int, end: End) -> tuple[Ended, ...]:
    """End everything that a pilot (by its row's id) has out, in the central's name. Its row is locked."""
    return await end_each(db, now, {pilot: end})


async def end_each(db: Database, now: float, ends: Mapping[int, End]) -> tuple[Ended, ...]:
    """The same for several pilots."""
    closings = []
    for pilot, end in ends.items():
        word = AttemptReport(Phase.ENDED, end.outcome, message=end.message, code=end.code)
        closings += [_end(row, end.outcome, word, "given-up") for row in await db.fetch(OUT_ON, pilot)]
    return tuple(await write(db, now, closings))


def unseen(
    out: Sequence[LiveAttempt], matched_through: Mapping[int, int], listed: Sequence[LeaseReport]
) -> tuple[Key, ...]:
    """The leases of answers that the pilot says it has seen and that it does not list."""
    known = {(lease.job, lease.attempt) for lease in listed}
    return tuple(
        (live.job, live.attempt)
        for live in out
        if live.request <= matched_through.get(live.agent, -1) and (live.job, live.attempt) not in known
    )


async def release(db: Database, now: float, calls: Sequence[Release]) -> Sequence[tuple[Requeued, ...] | Refusal]:
    rows = await _locked(db, [key for call in calls for key in call.leases])
    answers: list[tuple[Requeued, ...] | Refusal] = []
    closings: list[Closing] = []
    for call in calls:
        try:
            back = [_put_back(row, call.message) for row in _unstarted(rows, call)]
        except Refusal as refusal:
            answers.append(refusal)
            continue
        for closing in back:
            del rows[closing.row["job"], closing.row["attempt"]]  # should another call name it too: it is over
        closings += back
        answers.append(tuple(closing.requeued for closing in back if closing.requeued is not None))
    await write(db, now, closings)
    return answers


def _unstarted(rows: Mapping[Key, Row], call: Release) -> list[Row]:
    """The rows of leases that can be put back. One that was given back before, or has ended since, is none."""
    found: dict[Key, Row] = {}
    for job, attempt in call.leases:
        row = rows.get((job, attempt))
        if row is None:
            continue
        if row["stamp"] != call.stamp:
            raise _not_yours(job, attempt)
        if row["closed"]:
            continue
        if Phase(row["phase"]) is not Phase.MATCHED and not call.started:
            raise Refusal("conflict", f"Attempt {attempt} of job {job} has started: report how it ends.")
        found[job, attempt] = row
    return list(found.values())


def _put_back(row: Row, message: str) -> Closing:
    """Close an attempt that nobody is charged for; its job waits again, unless it was killed."""
    end = AttemptReport(Phase.ENDED, message=message)
    if not _runs(row):
        return Closing(row, end, "returned")
    check_job(row["job"], JobState(row["job_state"]), JobState.WAITING)
    return Closing(row, end, "returned", back=f"attempt {row['attempt']} was {message}")


def _runs(row: Row) -> bool:
    """Whether the attempt still decides about its job: it is the current one, and nobody killed the job."""
    return row["current"] == row["attempt"] and JobState(row["job_state"]) in LEASED


def _not_yours(job: int, attempt: int) -> Refusal:
    return Refusal("not-yours", f"Attempt {attempt} of job {job} was leased to another pilot.")


async def _locked(db: Database, keys: Sequence[Key]) -> dict[Key, Row]:
    rows = await db.fetch(SOME, [job for job, _ in keys], [attempt for _, attempt in keys])
    return {(row["job"], row["attempt"]): row for row in rows}


async def _advance(db: Database, now: float, further: Sequence[tuple[Row, AttemptReport]]) -> None:
    if not further:
        return
    await db.execute(
        ADVANCE,
        now,
        [row["job"] for row, _ in further],
        [row["attempt"] for row, _ in further],
        [report.phase.value for _, report in further],
        [plain(report.message) for _, report in further],
        [_runs(row) for row, _ in further],
    )
