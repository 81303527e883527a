"""Task queues and what waits in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from central.records import Identity, TaskQueue, Waiting
from central.store import codec

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

#: Task queues that a central remembers; one takes some hundred bytes.
REMEMBERED = 100_000

# Queues of one owner by the digests of their needs.
FIND = """
    SELECT task_queues.id, task_queues.needs
    FROM unnest($4::text[]) AS wanted (digest)
    JOIN task_queues ON community = $1 AND "group" = $2 AND owner = $3 AND task_queues.digest = wanted.digest
"""
ADD = """
    INSERT INTO task_queues (community, "group", owner, digest, needs)
    SELECT $1, $2, $3, digest, needs FROM unnest($4::text[], $5::text[]) AS wanted (digest, needs)
    ON CONFLICT DO NOTHING
"""
# Some queues whole.
QUEUES = 'SELECT id, community, "group", owner, needs FROM task_queues WHERE id = ANY($1::bigint[])'
OF_JOB = "SELECT queue FROM jobs WHERE id = $1"
# The index of what waits, read from end to end: the start of a matcher.
ALL_WAITING = """
    SELECT queue, priority, count(*) AS count, min(id) AS oldest
    FROM jobs WHERE stage = 'waiting' GROUP BY queue, priority
"""
WAITING_IN = """
    SELECT priority, count(*) AS count, min(id) AS oldest
    FROM jobs WHERE stage = 'waiting' AND queue = $1 GROUP BY priority
"""
# Those of a higher priority, and the older ones of the same.
AHEAD = """
    SELECT count(*)
    FROM jobs AS one
    JOIN jobs AS other ON other.queue = ANY($2::bigint[]) AND other.stage = 'waiting'
     AND (other.priority > one.priority OR (other.priority = one.priority AND other.id < one.id))
    WHERE one.id = $1
"""
# The communities that ever submitted something, each found by one step in the index.
COMMUNITIES = """
    WITH RECURSIVE known AS (
        SELECT min(community) AS community FROM task_queues
        UNION ALL
        SELECT (SELECT min(community) FROM task_queues WHERE community > known.community)
        FROM known WHERE known.community IS NOT NULL
    )
    SELECT community FROM known WHERE community IS NOT NULL
"""


class Queues:
    """Task queues by id, remembered: they never change."""

    def __init__(self) -> None:
        self._known: dict[int, TaskQueue] = {}

    async def get(self, db: Database, ids: Iterable[int]) -> dict[int, TaskQueue]:
        """Those of these queues that there are."""
        wanted = set(ids)
        if missing := wanted - self._known.keys():
            if len(self._known) > REMEMBERED:
                self._known.clear()
            self._known |= await load(db, missing)
        return {queue: self._known[queue] for queue in wanted if queue in self._known}


async def obtain(db: Database, who: Identity, needs: Iterable[str]) -> dict[str, TaskQueue]:
    """The queues for these needs (as `codec.needs_text` has them); made where they are new."""
    owner = (who.community, who.group, who.user)
    digests = {text: hashlib.sha256(text.encode()).hexdigest() for text in needs}
    rows = await db.fetch(FIND, *owner, list(digests.values()))
    if len(rows) < len(digests):
        missing = digests.keys() - {row["needs"] for row in rows}
        # All in one order, so that two who make the same wait for each other and not in a circle.
        new = sorted((digests[text], text) for text in missing)
        await db.execute(ADD, *owner, [digest for digest, _ in new], [text for _, text in new])
        rows += await db.fetch(FIND, *owner, [digest for digest, _ in new])
    return {row["needs"]: TaskQueue(row["id"], *owner, codec.needs(row["needs"])) for row in rows}


async def load(db: Database, ids: Iterable[int]) -> dict[int, TaskQueue]:
    rows = await db.fetch(QUEUES, sorted(set(ids)))
    return {
        row["id"]: TaskQueue(row["id"], row["community"], row["group"], row["owner"], codec.needs(row["needs"]))
        for row in rows
    }


async def waiting(db: Database) -> tuple[Waiting, ...]:
    counts: dict[int, dict[int, int]] = {}
    oldest: dict[int, int] = {}
    for row in await db.fetch(ALL_WAITING):
        queue, first = row["queue"], row["oldest"]
        counts.setdefault(queue, {})[row["priority"]] = row["count"]
        oldest[queue] = min(first, oldest.get(queue, first))
    queues = await load(db, counts)
    return tuple(Waiting(queues[queue], counts[queue], oldest[queue]) for queue in counts)


async def task_queue(db: Database, job: int) -> Waiting | None:
    queue = await db.fetchval(OF_JOB, job)
    if queue is None:
        return None
    rows = await db.fetch(WAITING_IN, queue)
    oldest = min((row["oldest"] for row in rows), default=0)
    return Waiting((await load(db, [queue]))[queue], {row["priority"]: row["count"] for row in rows}, oldest)


async def ahead(db: Database, job: int, queues: Sequence[int]) -> int:
    return int(await db.fetchval(AHEAD, job, list(queues)))


async def communities(db: Database) -> list[str]:
    return [row["community"] for row in await db.fetch(COMMUNITIES)]
