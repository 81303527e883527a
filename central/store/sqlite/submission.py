"""Submission: documents become jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from central.records import Identity, NewJobs, Submitted, Waiting
from central.store import codec
from central.store.sqlite import waiting
from pilot.errors import Refusal
from pilot.jobfile import fill

SEEN_KEY = "SELECT digest, ranges FROM submissions WHERE community = ? AND owner = ? AND key = ?"
KEEP_KEY = "INSERT INTO submissions (community, owner, key, digest, ranges, created) VALUES (?, ?, ?, ?, ?, ?)"
# A document is called like its first job: no other one will ever be.
ADD_DOCUMENT = "INSERT INTO documents (id, community, spec) VALUES (?, ?, ?)"
# The id that the next job gets; ids of deleted jobs are not given again.
NEXT_ID = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0) + 1"
# All jobs of a document in one statement, out of a JSON array of [name, parameters, inputs].
ADD_JOBS = """
    INSERT INTO jobs (id, document, queue, community, "group", owner, name, parameters, inputs,
                      state, priority, retries, submitted, changed)
    SELECT :first + key, :document, :queue, :community, :group, :owner, value ->> 0, value ->> 1, value ->> 2,
           'waiting', :priority, :retries, :now, :now
    FROM json_each(:members)
"""
# New jobs wait; triggers follow them from here.
ADD_COUNT = """
    INSERT INTO job_counts (community, state, jobs) VALUES (:community, 'waiting', :jobs)
    ON CONFLICT (community, state) DO UPDATE SET jobs = jobs + :jobs
"""
#: Jobs above which a submission takes the writer for so long that no other verb should share its transaction.
BULK = 1000


@dataclass(frozen=True)
class Prepared:
    """A document as the database takes it."""

    spec: str
    needs: str
    members: str
    count: int
    priority: int
    retries: int


def prepare(jobs: Sequence[NewJobs]) -> tuple[Prepared, ...]:
    """The part of a submission that needs no database and takes long: 100,000 members are some 10 MB of JSON."""
    return tuple(
        Prepared(
            codec.text(new.spec),
            codec.needs_text(new.spec.needs),
            codec.text([(fill(new.spec.name, values), dict(values) or None, files) for values, files in new.members]),
            len(new.members),
            new.spec.priority,
            new.spec.retries,
        )
        for new in jobs
    )


def submit(
    db: sqlite3.Connection, now: float, who: Identity, jobs: Sequence[Prepared], key: str | None, digest: str
) -> Submitted:
    owner = (who.community, who.user)
    if key is not None and (seen := db.execute(SEEN_KEY, (*owner, key)).fetchone()):
        if seen["digest"] != digest:
            raise Refusal("idempotency-mismatch", f"The key {key!r} came before with another request.")
        return Submitted(codec.ranges(seen["ranges"]), (), again=True)
    ranges: list[tuple[int, int]] = []
    added: dict[int, Waiting] = {}
    for document in jobs:
        queue = waiting.obtain(db, who.community, who.group, who.user, document.needs)
        first = _add(db, now, who, document, queue)
        ranges.append((first, document.count))
        if document.count:
            before = added.get(queue) or Waiting(waiting.load(db, [queue])[queue], {}, first)
            total = before.counts.get(document.priority, 0) + document.count
            added[queue] = Waiting(before.queue, {**before.counts, document.priority: total}, before.oldest)
    if key is not None:
        db.execute(KEEP_KEY, (*owner, key, digest, codec.text(ranges), now))
    return Submitted(tuple(ranges), tuple(added.values()))


def _add(db: sqlite3.Connection, now: float, who: Identity, document: Prepared, queue: int) -> int:
    first = next_id(db)
    if not document.count:
        return first
    db.execute(ADD_DOCUMENT, (first, who.community, document.spec))
    values = {
        "first": first,
        "document": first,
        "queue": queue,
        "community": who.community,
        "group": who.group,
        "owner": who.user,
        "members": document.members,
        "priority": document.priority,
        "retries": document.retries,
        "now": now,
    }
    db.execute(ADD_JOBS, values)
    db.execute(ADD_COUNT, {"community": who.community, "jobs": document.count})
    return first


def next_id(db: sqlite3.Connection) -> int:
    """What the next job that is added will be called; later ones follow without a gap."""
    found: int = db.execute(NEXT_ID).fetchone()[0]
    return found
