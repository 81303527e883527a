"""Task queues and what waits in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from central.records import TaskQueue, Waiting
from central.store import codec

# One queue by what makes it one.
FIND = 'SELECT id FROM task_queues WHERE community = ? AND "group" = ? AND owner = ? AND needs = ?'
ADD = 'INSERT INTO task_queues (community, "group", owner, needs) VALUES (?, ?, ?, ?)'
# Some queues whole.
QUEUES = 'SELECT id, community, "group", owner, needs FROM task_queues WHERE id IN (SELECT value FROM json_each(?))'
OF_JOB = "SELECT queue FROM jobs WHERE id = ?"
# The index of what waits, read from end to end: the start of a matcher.
ALL_WAITING = """
    SELECT queue, priority, count(*), min(id) FROM jobs WHERE state = 'waiting' GROUP BY queue, priority
"""
WAITING_IN = """
    SELECT priority, count(*), min(id) FROM jobs WHERE state = 'waiting' AND queue = ? GROUP BY priority
"""
# Those of a higher priority, and the older ones of the same.
AHEAD = """
    SELECT count(*)
    FROM jobs AS one
    CROSS JOIN json_each(:queues) AS wanted
    JOIN jobs AS other ON other.queue = wanted.value AND other.state = 'waiting'
     AND (other.priority > one.priority OR (other.priority = one.priority AND other.id < one.id))
    WHERE one.id = :job
"""
# The communities that ever submitted something.
COMMUNITIES = "SELECT DISTINCT community FROM task_queues"


def obtain(db: sqlite3.Connection, community: str, group: str, owner: str, needs: str) -> int:
    """The id of the queue for these needs (as `codec.needs_text` has them); made when it is new."""
    key = (community, group, owner, needs)
    found = db.execute(FIND, key).fetchone()
    if found:
        return int(found[0])
    return int(db.execute(ADD, key).lastrowid or 0)


def load(db: sqlite3.Connection, ids: Iterable[int]) -> dict[int, TaskQueue]:
    rows = db.execute(QUEUES, (codec.text(sorted(set(ids))),))
    return {
        row["id"]: TaskQueue(row["id"], row["community"], row["group"], row["owner"], codec.needs(row["needs"]))
        for row in rows
    }


def waiting(db: sqlite3.Connection) -> tuple[Waiting, ...]:
    counts: dict[int, dict[int, int]] = {}
    oldest: dict[int, int] = {}
    for queue, priority, count, first in db.execute(ALL_WAITING):
        counts.setdefault(queue, {})[priority] = count
        oldest[queue] = min(first, oldest.get(queue, first))
    queues = load(db, counts)
    return tuple(Waiting(queues[queue], counts[queue], oldest[queue]) for queue in counts)


def task_queue(db: sqlite3.Connection, job: int) -> Waiting | None:
    found = db.execute(OF_JOB, (job,)).fetchone()
    if not found:
        return None
    queue: int = found[0]
    rows = db.execute(WAITING_IN, (queue,)).fetchall()
    oldest = min((first for _, _, first in rows), default=0)
    return Waiting(load(db, [queue])[queue], {priority: count for priority, count, _ in rows}, oldest)


def ahead(db: sqlite3.Connection, job: int, queues: Sequence[int]) -> int:
    count: int = db.execute(AHEAD, {"job": job, "queues": codec.text(list(queues))}).fetchone()[0]
    return count


def communities(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute(COMMUNITIES)]
