"""Submission: documents become jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

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
_COLUMNS = """(id, document, queue, community, "group", owner, name, parameters, inputs,
                      state, priority, retries, submitted, changed)"""
# All jobs of a document in one statement, out of a JSON array of [name, parameters, inputs].
ADD_JOBS = f"""
    INSERT INTO jobs {_COLUMNS}
    SELECT :first + key, :first, :queue, :community, :group, :owner, value ->> 0, value ->> 1, value ->> 2,
           'waiting', :priority, :retries, :now, :now
    FROM json_each(:members)
"""  # noqa: S608 - a constant
# A job that has its document to itself: a third of the time of a list of one.
ADD_JOB = f"""
    INSERT INTO jobs {_COLUMNS} VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'waiting', ?9, ?10, ?11, ?11)
"""  # noqa: S608 - a constant
# New jobs wait; triggers follow them from here.
ADD_COUNT = """
    INSERT INTO job_counts (community, state, jobs) VALUES (:community, 'waiting', :jobs)
    ON CONFLICT (community, state) DO UPDATE SET jobs = jobs + :jobs
"""
#: Jobs above which a submission takes the writer for so long that no other verb should share its transaction.
BULK = 1000


class Prepared(NamedTuple):
    """A document as the database takes it."""

    spec: str
    needs: str
    single: tuple[str, str | None, str | None] | None  # name, parameters and inputs of its only job
    members: str  # those of all, when there are several, as a JSON array
    jobs: int
    priority: int
    retries: int


def prepare(jobs: Sequence[NewJobs]) -> tuple[Prepared, ...]:
    """The part of a submission that needs no database and takes long: 100,000 members are some 10 MB of JSON."""
    return tuple([_prepared(new) for new in jobs])


def _prepared(new: NewJobs) -> Prepared:
    spec = new.spec
    single, members = None, "[]"
    if len(new.members) == 1:
        values, files = new.members[0]
        parameters = codec.text(dict(values)) if values else None
        single = (fill(spec.name, values), parameters, None if files is None else codec.text(files))
    else:
        members = codec.text([(fill(spec.name, values), dict(values) or None, files) for values, files in new.members])
    needs = codec.needs_text(spec.needs)
    return Prepared(codec.text(spec), needs, single, members, len(new.members), spec.priority, spec.retries)


def submit(
    db: sqlite3.Connection, now: float, who: Identity, jobs: Sequence[Prepared], key: str | None, digest: str
) -> Submitted:
    if key is not None and (before := submitted_before(db, who, key, digest)):
        return before
    texts = dict.fromkeys(document.needs for document in jobs)
    queues = {needs: waiting.obtain(db, who.community, who.group, who.user, needs) for needs in texts}
    ranges = _numbered(db, jobs)
    _add(db, now, who, queues, [(first, one) for (first, _), one in zip(ranges, jobs, strict=True) if one.jobs])
    if key is not None:
        db.execute(KEEP_KEY, (who.community, who.user, key, digest, codec.text(ranges), now))
    return Submitted(ranges, _counted(db, queues, ranges, jobs))


def submitted_before(db: sqlite3.Connection, who: Identity, key: str, digest: str) -> Submitted | None:
    seen = db.execute(SEEN_KEY, (who.community, who.user, key)).fetchone()
    if seen is None:
        return None
    if seen["digest"] != digest:
        raise Refusal("idempotency-mismatch", f"The key {key!r} came before with another request.")
    return Submitted(codec.ranges(seen["ranges"]), (), again=True)


def _numbered(db: sqlite3.Connection, jobs: Sequence[Prepared]) -> tuple[tuple[int, int], ...]:
    """The first id and the number of the jobs of each document."""
    counts = [document.jobs for document in jobs]
    return tuple(zip(accumulate(counts, initial=next_id(db)), counts, strict=False))


def _add(
    db: sqlite3.Connection, now: float, who: Identity, queues: Mapping[str, int], jobs: Sequence[tuple[int, Prepared]]
) -> None:
    """Write documents and their jobs, each with the id of its first job."""
    db.executemany(ADD_DOCUMENT, [(first, who.community, document.spec) for first, document in jobs])
    whose = (who.community, who.group, who.user)
    db.executemany(
        ADD_JOB,
        [
            (first, queues[one.needs], *whose, *one.single, one.priority, one.retries, now)
            for first, one in jobs
            if one.single is not None
        ],
    )
    for first, document in jobs:
        if document.single is None:
            values = {
                "first": first,
                "queue": queues[document.needs],
                "community": who.community,
                "group": who.group,
                "owner": who.user,
                "members": document.members,
                "priority": document.priority,
                "retries": document.retries,
                "now": now,
            }
            db.execute(ADD_JOBS, values)
    if jobs:
        db.execute(ADD_COUNT, {"community": who.community, "jobs": sum(document.jobs for _, document in jobs)})


def _counted(
    db: sqlite3.Connection, queues: Mapping[str, int], ranges: Sequence[tuple[int, int]], jobs: Sequence[Prepared]
) -> tuple[Waiting, ...]:
    """What has come to wait in each queue."""
    counts: dict[int, dict[int, int]] = {}
    oldest: dict[int, int] = {}
    for (first, count), document in zip(ranges, jobs, strict=True):
        if count:
            queue = queues[document.needs]
            of_queue = counts.setdefault(queue, {})
            of_queue[document.priority] = of_queue.get(document.priority, 0) + count
            oldest.setdefault(queue, first)
    known = waiting.load(db, counts)
    return tuple([Waiting(known[queue], of_queue, oldest[queue]) for queue, of_queue in counts.items()])


def next_id(db: sqlite3.Connection) -> int:
    """What the next job that is added will be called; later ones follow without a gap."""
    found: int = db.execute(NEXT_ID).fetchone()[0]
    return found
