"""One job and its attempts, as their owner sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.store import codec
from central.store.postgres.pages import job_view
from pilot.errors import Refusal
from pilot.protocol import AttemptReport
from pilot.states import Outcome, Phase
from pilot.views import AttemptView, Event, JobDetail

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

JOB = "SELECT * FROM jobs_whole WHERE id = $1 AND ($2::text IS NULL OR community = $2)"
SEEN = "SELECT true FROM jobs WHERE id = $1 AND ($2::text IS NULL OR community = $2)"
ATTEMPTS = "SELECT * FROM attempts_whole WHERE job = $1 ORDER BY attempt"


async def job(db: Database, community: str | None, job: int) -> JobDetail:
    row = await db.fetchrow(JOB, job, community)
    if row is None:
        raise _unknown(job)
    spec = codec.filled(row["spec"], row["parameters"], row["inputs"])
    return JobDetail(
        job=job_view(row),
        command=spec.command,
        needs=spec.needs,
        retries=row["retries"],
        retries_used=row["retries_used"],
        blameless_ends=row["blameless_ends"],
        inputs=tuple(file.name for file in spec.inputs),
        outputs=tuple(rule.pattern for rule in spec.outputs),
    )


async def attempts(db: Database, community: str | None, job: int) -> tuple[AttemptView, ...]:
    if not await db.fetchval(SEEN, job, community):
        raise _unknown(job)
    return tuple(_view(row) for row in await db.fetch(ATTEMPTS, job))


def _unknown(job: int) -> Refusal:
    """The same for a job that is not there and for one of another community."""
    return Refusal("not-found", f"There is no job {job} that you may see.")


def _view(row: Row) -> AttemptView:
    end = codec.report(row["report"]) or AttemptReport(Phase.ENDED)
    return AttemptView(
        job=row["job"],
        attempt=row["attempt"],
        pilot=row["stamp"],
        site=row["site"],
        phase=Phase(row["phase"]),
        cores=row["cores"],
        started=row["started"],
        ended=row["ended"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        exit_code=end.exit_code,
        signal=end.signal,
        limit=end.limit,
        message=end.message,
        tail=end.tail,
        usage=codec.usage(row["usage"]),
        outputs=end.outputs,
        undelivered=end.undelivered,
        log_sizes=end.log_sizes,
        history=_history(row, end.message),
    )


def _history(row: Row, last_words: str) -> tuple[Event, ...]:
    """The phases that the attempt came to, in order: those that were never said are left out."""
    phases = (
        (row["started"], Phase.MATCHED, ""),
        (row["running"], Phase.RUNNING, row["running_message"]),
        (row["completing"], Phase.COMPLETING, row["completing_message"]),
        (row["ended"], Phase.ENDED, last_words),
    )
    return tuple(Event(time, phase, message) for time, phase, message in phases if time is not None)
