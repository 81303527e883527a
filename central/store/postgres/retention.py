"""What ended long ago goes: jobs with all that belongs to them, while what they used stays in accounting; tokens and
memberships, while what was done with them stays in the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.people import GIVER

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

# The first to become final first. One that somebody is busy with will be old the next time as well, and so will one
# that was killed under a pilot which has not said a word since.
OLD = """
    SELECT id, document FROM jobs
    WHERE over < $1 AND NOT EXISTS (SELECT FROM attempts WHERE attempts.job = jobs.id AND attempts.ended IS NULL)
    ORDER BY over LIMIT $2
    FOR UPDATE SKIP LOCKED
"""
# What belongs to a job. What it was rescheduled as keeps the number of its parent.
PARTS = ("DELETE FROM attempts WHERE job = ANY ($1::bigint[])", "DELETE FROM orders WHERE job = ANY ($1::bigint[])")
JOBS = "DELETE FROM jobs WHERE id = ANY ($1::bigint[])"
# Documents of which so many jobs went, in the order in which rescheduling locks them as well.
LOCK = "SELECT FROM documents WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE"
COUNT = """
    UPDATE documents SET jobs = documents.jobs - gone.jobs
    FROM unnest($1::bigint[], $2::bigint[]) AS gone (id, jobs) WHERE documents.id = gone.id
"""
UNUSED = "DELETE FROM documents WHERE id = ANY ($1::bigint[]) AND jobs <= 0"
# Keys of submissions of which nothing is left.
KEYS = """
    DELETE FROM submissions
    WHERE (community, owner, key) IN (
        SELECT community, owner, key FROM submissions
        WHERE created < $1
          AND NOT EXISTS (SELECT FROM jsonb_array_elements(ranges::jsonb) AS range
                          JOIN jobs ON id >= (range ->> 0)::bigint
                                   AND id < (range ->> 0)::bigint + (range ->> 1)::bigint)
        ORDER BY created LIMIT $2)
"""
# Machines that were last heard of by a failure, and never came back.
HOSTS = "DELETE FROM hosts WHERE greatest(since, next) < $1"
# Those that others were made with go after them.
TOKENS = """
    WITH gone AS (
        DELETE FROM api_tokens
        WHERE id IN (
            SELECT id FROM api_tokens
            WHERE least(expires, revoked) < $1
              AND NOT EXISTS (SELECT FROM api_tokens AS made WHERE made.parent = api_tokens.id)
            ORDER BY id LIMIT $2)
        RETURNING id
    )
    SELECT count(*) FROM gone
"""
# What an admin took back stays: no login gives that again. So does what says under which role somebody owns something.
# One that is given again at this moment is locked, or not meant any more.
MEMBERS = """
    WITH gone AS (
        DELETE FROM members
        WHERE id IN (
            SELECT id FROM members
            WHERE revoked < $1 AND revoked_by = $3
              AND NOT EXISTS (SELECT FROM jobs WHERE jobs.community = members.community AND jobs.owner = members.owner)
              AND NOT EXISTS (SELECT FROM credentials
                              WHERE credentials.community = members.community AND credentials.owner = members.owner)
            ORDER BY id LIMIT $2
            FOR UPDATE SKIP LOCKED)
        RETURNING id
    )
    SELECT count(*) FROM gone
"""


async def retire(db: Database, now: float, before: float, limit: int) -> int:
    old = await db.fetch(OLD, before, limit)
    if old:
        await _delete(db, old)
    await db.execute(KEYS, before, limit)
    await db.execute(HOSTS, before)
    return len(old)


async def retire_people(db: Database, now: float, before: float, limit: int) -> int:
    tokens: int = await db.fetchval(TOKENS, before, limit)
    members: int = await db.fetchval(MEMBERS, before, limit, GIVER)
    return tokens + members


async def _delete(db: Database, old: Sequence[Row]) -> None:
    jobs = [row["id"] for row in old]
    for statement in (*PARTS, JOBS):
        await db.execute(statement, jobs)
    gone = Counter(row["document"] for row in old)
    await db.execute(LOCK, list(gone))
    await db.execute(COUNT, list(gone), list(gone.values()))
    await db.execute(UNUSED, list(gone))
