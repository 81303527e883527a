"""What ended long ago goes: jobs with all that belongs to them, while what they used stays in accounting; tokens and
memberships, while what was done with them stays in the audit."""

from __future__ import annotations

import sqlite3

from central.people import GIVER
from central.store import codec

# Final since before then, oldest first. A job that was killed may still have its attempt out on a pilot.
OLD = """
    SELECT id, document FROM jobs
    WHERE (state = 'done' OR state = 'failed' OR state = 'killed') AND changed < :before
      AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.job = jobs.id AND attempts.phase <> 'ended')
    ORDER BY changed LIMIT :limit
"""
# In this order, because each refers to the next. What a retired job was rescheduled as has no parent any more.
BELONGINGS = (
    "DELETE FROM orders WHERE job IN (SELECT value FROM json_each(?))",
    "DELETE FROM attempt_events WHERE job IN (SELECT value FROM json_each(?))",
    "DELETE FROM attempts WHERE job IN (SELECT value FROM json_each(?))",
    "UPDATE jobs SET parent = NULL WHERE parent IN (SELECT value FROM json_each(?))",
    "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))",
)
DOCUMENTS = """
    DELETE FROM documents
    WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.document = documents.id)
"""
# Keys of submissions of which nothing is left.
KEYS = """
    DELETE FROM submissions
    WHERE (community, owner, key) IN (
        SELECT community, owner, key FROM submissions
        WHERE created < :before
          AND NOT EXISTS (SELECT 1 FROM json_each(ranges) AS range
                          CROSS JOIN jobs ON jobs.id >= range.value ->> 0
                                         AND jobs.id < range.value ->> 0 + range.value ->> 1)
        ORDER BY created LIMIT :limit)
"""
# Machines that were last heard of by a failure, and never came back.
HOSTS = "DELETE FROM hosts WHERE changed < ?"
# Those that others were made with go after them.
TOKENS = """
    DELETE FROM api_tokens
    WHERE id IN (
        SELECT id FROM api_tokens
        WHERE min(expires, coalesce(revoked, expires)) < :before
          AND NOT EXISTS (SELECT 1 FROM api_tokens AS made WHERE made.parent = api_tokens.id)
        ORDER BY id LIMIT :limit)
"""
# What an admin took back stays: no login gives that again. So does what says under which role somebody owns something.
MEMBERS = """
    DELETE FROM members
    WHERE id IN (
        SELECT id FROM members
        WHERE revoked < :before AND revoked_by = :login
          AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.community = members.community AND jobs.owner = members.owner)
          AND NOT EXISTS (SELECT 1 FROM credentials
                          WHERE credentials.community = members.community AND credentials.owner = members.owner)
        ORDER BY id LIMIT :limit)
"""


def retire(db: sqlite3.Connection, now: float, before: float, limit: int) -> int:
    rows = db.execute(OLD, {"before": before, "limit": limit}).fetchall()
    jobs = codec.text([row["id"] for row in rows])
    if rows:
        for statement in BELONGINGS:
            db.execute(statement, (jobs,))
        db.execute(DOCUMENTS, (codec.text(sorted({row["document"] for row in rows})),))
    db.execute(KEYS, {"before": before, "limit": limit})
    db.execute(HOSTS, (before,))
    return len(rows)


def retire_people(db: sqlite3.Connection, now: float, before: float, limit: int) -> int:
    values = {"before": before, "limit": limit, "login": GIVER}
    return db.execute(TOKENS, values).rowcount + db.execute(MEMBERS, values).rowcount
