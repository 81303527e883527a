"""The end of attempts, written for many together: the attempt, its job, what it used, its limits, its machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.records import Ended, Requeued
from central.store import codec
from central.store.accounts import Measured, measured
from central.store.decide import Verdict
from central.store.postgres import hosts, limits
from central.store.postgres.connection import plain
from central.store.suspicion import FAILURES, FAST, whose
from pilot.protocol import AttemptReport
from pilot.states import JobState, Outcome

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

# What the pilot measured last stays when its end came without figures. The job follows its current attempt: to its
# next state, or with a note when it was killed. What ended with an outcome is accounted; when that is in an hour that
# was summed already (the clock was set back), that hour, and later ones, are summed again.
CLOSE = """
    WITH over AS MATERIALIZED (
        SELECT * FROM json_to_recordset($2::json)
          AS over (job bigint, attempt int, closed text, outcome text, report text, usage text, state text, reason text,
                   exit_code int, retries_used int, blameless_ends int, pilot bigint, cores int, started float8,
                   wall float8, cpu float8, memory_peak bigint, community text, "group" text, owner text, site text,
                   queue text)
    ), closed AS (
        UPDATE attempts
        SET phase = 'ended', ended = $1, closed = over.closed, outcome = over.outcome, report = over.report,
            usage = coalesce(over.usage, attempts.usage)
        FROM over WHERE attempts.job = over.job AND attempts.attempt = over.attempt
    ), reopened AS (
        UPDATE usage_summed SET until = floor($1::float8 / 3600) * 3600
        WHERE until > floor($1::float8 / 3600) * 3600 AND EXISTS (SELECT FROM over WHERE outcome IS NOT NULL)
    ), accounted AS (
        INSERT INTO accounting (job, attempt, pilot, cores, started, ended, wall, cpu, memory_peak, community, "group",
                                owner, site, queue, outcome)
        SELECT job, attempt, pilot, cores, started, $1, wall, cpu, memory_peak, community, "group", owner, site, queue,
               outcome
        FROM over WHERE outcome IS NOT NULL
    )
    UPDATE jobs
    SET state = coalesce(over.state, jobs.state),
        changed = CASE WHEN over.state IS NULL THEN jobs.changed ELSE $1 END,
        reason = coalesce(over.reason, jobs.reason),
        outcome = coalesce(over.outcome, jobs.outcome),
        exit_code = CASE WHEN over.outcome IS NULL THEN jobs.exit_code ELSE over.exit_code END,
        retries_used = coalesce(over.retries_used, jobs.retries_used),
        blameless_ends = coalesce(over.blameless_ends, jobs.blameless_ends)
    FROM over WHERE jobs.id = over.job AND jobs.attempt = over.attempt
"""


@dataclass(frozen=True)
class Closing:
    """An attempt (a row that is locked) that ends: how, who says so, and what becomes of its job. Without a verdict and
    without `back` the job stays as it is."""

    row: Row
    end: AttemptReport
    closed: str
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    back: str | None = None  # it was never started: the job waits again, for that reason

    @property
    def state(self) -> JobState | None:
        """The job's next one."""
        if self.back is not None:
            return JobState.WAITING
        return self.verdict.state if self.verdict else None

    @property
    def reason(self) -> str | None:
        return self.verdict.reason if self.verdict else self.back

    @property
    def requeued(self) -> Requeued | None:
        """The job as the matcher counts it, when it waits again."""
        if self.state is not JobState.WAITING:
            return None
        return Requeued(self.row["queue"], self.row["job"], self.row["priority"])

    @property
    def ended(self) -> Ended:
        state = self.state or JobState(self.row["job_state"])
        return Ended(self.row["job"], self.row["attempt"], state, self.requeued)

    def measured(self, now: float) -> Measured:
        reported = self.closed == "reported"
        usage = self.end.usage if reported else codec.usage(self.row["usage"])
        return measured(usage, reported, self.row["started"], now)


async def write(db: Database, now: float, closings: Sequence[Closing]) -> list[Ended]:
    """Write all of it; the answers are in the order of the closings."""
    if not closings:
        return []
    await db.execute(CLOSE, now, codec.text([_over(closing, now) for closing in closings]))
    await _tell_machines(db, now, closings)
    over = [(codec.texts(limits_), one.row["cores"]) for one in closings if (limits_ := one.row["limits"]) is not None]
    await limits.subtract(db, over)
    return [closing.ended for closing in closings]


def _over(closing: Closing, now: float) -> dict[str, Any]:
    """A row of `over` in `CLOSE`."""
    row, end = closing.row, closing.end
    over: dict[str, Any] = {
        "job": row["job"],
        "attempt": row["attempt"],
        "closed": closing.closed,
        "outcome": closing.outcome,
        "report": codec.text(end),
        "usage": codec.text(end.usage) if closing.closed == "reported" else None,
        "state": closing.state,
        "reason": None if closing.reason is None else plain(closing.reason),
        "exit_code": end.exit_code,
    }
    if closing.verdict is not None:
        over["retries_used"] = closing.verdict.retries_used
        over["blameless_ends"] = closing.verdict.blameless_ends
    if closing.outcome is not None:
        used = closing.measured(now)
        over |= {"wall": used.wall, "cpu": used.cpu, "memory_peak": used.memory_peak, "queue": row["door"]}
        over |= {name: row[name] for name in ("pilot", "cores", "started", "community", "group", "owner", "site")}
    return over


async def _tell_machines(db: Database, now: float, closings: Sequence[Closing]) -> None:
    """Of ends that may say something about a machine: those on one with failures, and fast failures."""
    told = [
        hosts.HostEnd(
            one.row["job"],
            one.row["attempt"],
            (one.row["site"], one.row["host"]),
            one.outcome,
            now - one.row["started"],
            whose(one.row["community"], one.row["owner"]),
        )
        for one in closings
        if one.row["host"] and one.outcome is not None and _telling(one, now)
    ]
    if told:
        await hosts.settle(db, now, told)


def _telling(closing: Closing, now: float) -> bool:
    return closing.row["flawed"] or (closing.outcome in FAILURES and now - closing.row["started"] < FAST)
