"""Claims that pass over the jobs that name some credentials: seldom made, and as slow as a queue is long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from central.records import Pick

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

# The first jobs of a queue that name none of the credentials become attempts.
TAKE = """
    WITH chosen AS MATERIALIZED (
        SELECT id FROM jobs
        WHERE queue = $2 AND stage = 'waiting' AND document NOT IN (
            SELECT id FROM documents
            WHERE spec::jsonb -> 'credentials' ?| $4::text[]
              AND id IN (SELECT document FROM jobs WHERE queue = $2 AND stage = 'waiting'))
        ORDER BY priority DESC, id LIMIT $3
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE jobs SET state = 'matched', attempt = attempt + 1, changed = $1, reason = ''
    WHERE id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING id AS job, attempt, queue, priority, document, parameters, inputs
"""


async def take(db: Database, now: float, picks: Iterable[Pick], wanted: dict[int, int]) -> list[Row]:
    """Take jobs of the queues of which not every job may be taken, as many as are `wanted`, and leave the others there.

    What one of the picks passes over, all do that came with it: of one queue they nearly always say the same.
    """
    without: dict[int, set[str]] = defaultdict(set)
    for pick in picks:
        if pick.without and pick.queue in wanted:
            without[pick.queue].update(pick.without)
    rows: list[Row] = []
    for queue, names in without.items():
        rows += await db.fetch(TAKE, now, queue, wanted.pop(queue), sorted(names))
    return rows
