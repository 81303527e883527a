"""One job and its attempts, as their owner sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.store.decide import unknown_job
from central.store.rows import attempt_view, end_of, job_detail
from pilot.states import Phase
from pilot.views import AttemptView, Event, JobDetail

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

JOB = "SELECT * FROM jobs_whole WHERE id = $1 AND ($2::text IS NULL OR community = $2)"
SEEN = "SELECT true FROM jobs WHERE id = $1 AND ($2::text IS NULL OR community = $2)"
ATTEMPTS = "SELECT * FROM attempts_whole WHERE job = $1 ORDER BY attempt"


async def job(db: Database, community: str | None, job: int) -> JobDetail:
    row = await db.fetchrow(JOB, job, community)
    if row is None:
        raise unknown_job(job)
    return job_detail(row)


async def attempts(db: Database, community: str | None, job: int) -> tuple[AttemptView, ...]:
    if not await db.fetchval(SEEN, job, community):
        raise unknown_job(job)
    return tuple(_view(row) for row in await db.fetch(ATTEMPTS, job))


def _view(row: Row) -> AttemptView:
    end = end_of(row)
    return attempt_view(row, end, _history(row, end.message))


def _history(row: Row, last_words: str) -> tuple[Event, ...]:
    """The phases that the attempt came to, in order: those that were never said are left out."""
    phases = (
        (row["started"], Phase.MATCHED, ""),
        (row["running"], Phase.RUNNING, row["running_message"]),
        (row["completing"], Phase.COMPLETING, row["completing_message"]),
        (row["ended"], Phase.ENDED, last_words),
    )
    return tuple(Event(time, phase, message) for time, phase, message in phases if time is not None)
