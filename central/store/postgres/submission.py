"""Submission: documents become jobs."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import TYPE_CHECKING

from central.records import Identity, NewJobs, Submitted, TaskQueue, Waiting
from central.store import codec
from central.store.postgres import waiting
from central.store.postgres.connection import plain
from pilot.errors import Refusal
from pilot.jobfile import fill

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

#: Members above which a submission is prepared away from the event loop.
MANY = 200

# Two requests with one key wait for each other: the second finds the answer of the first.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 3))"
SEEN_KEY = "SELECT digest, ranges FROM submissions WHERE community = $1 AND owner = $2 AND key = $3"
KEEP_KEY = """
    INSERT INTO submissions (community, owner, key, digest, ranges, created) VALUES ($1, $2, $3, $4, $5, $6)
"""
# Ids for documents: they need not be in a row.
DRAW_DOCUMENTS = """
    SELECT nextval(pg_get_serial_sequence('documents', 'id')) AS id FROM generate_series(1, $1::int)
"""
DOCUMENT_COLUMNS = ("id", "community", "jobs", "spec")
TAKE_IDS = "SELECT take_job_ids($1)"
COLUMNS = (
    "id",
    "document",
    "queue",
    "community",
    "group",
    "owner",
    "name",
    "parameters",
    "inputs",
    "state",
    "priority",
    "retries",
    "submitted",
    "changed",
)


@dataclass(frozen=True)
class Prepared:
    """A document as the database takes it."""

    spec: str
    needs: str
    members: Sequence[tuple[str, str | None, str | None]]  # name, parameters and inputs; the latter two JSON
    priority: int
    retries: int


async def prepared(jobs: Sequence[NewJobs]) -> tuple[Prepared, ...]:
    """The part of a submission that needs no database; of a large one in a thread, since it takes long."""
    if sum(len(new.members) for new in jobs) > MANY:
        return await asyncio.to_thread(_prepare, jobs)
    return _prepare(jobs)


def _prepare(jobs: Sequence[NewJobs]) -> tuple[Prepared, ...]:
    return tuple(
        Prepared(
            codec.text(new.spec),
            codec.needs_text(new.spec.needs),
            [
                (
                    plain(fill(new.spec.name, values)),
                    codec.text(values) if values else None,
                    None if files is None else codec.text(files),
                )
                for values, files in new.members
            ],
            new.spec.priority,
            new.spec.retries,
        )
        for new in jobs
    )


async def submit(
    db: Database, now: float, who: Identity, jobs: Sequence[Prepared], key: str | None, digest: str
) -> Submitted:
    if key is not None:
        await db.execute(ONE_AT_A_TIME, codec.text((who.community, who.user, key)))
        if before := await submitted_before(db, who, key, digest):
            return before
    counts = [len(document.members) for document in jobs]
    total = sum(counts)
    first = await take_ids(db, total) if total else 0
    ranges = tuple(zip(accumulate(counts, initial=first), counts, strict=False))
    queues = await waiting.obtain(db, who, [document.needs for document in jobs])
    numbers = [row["id"] for row in await db.fetch(DRAW_DOCUMENTS, len(jobs))]
    await _add(db, now, who, jobs, numbers, queues, first)
    if key is not None:
        await db.execute(KEEP_KEY, who.community, who.user, key, digest, codec.text(ranges), now)
    return Submitted(ranges, _added(jobs, queues, ranges))


async def submitted_before(db: Database, who: Identity, key: str, digest: str) -> Submitted | None:
    seen = await db.fetchrow(SEEN_KEY, who.community, who.user, key)
    if seen is None:
        return None
    if seen["digest"] != digest:
        raise Refusal("idempotency-mismatch", f"The key {key!r} came before with another request.")
    return Submitted(codec.ranges(seen["ranges"]), (), again=True)


async def _add(
    db: Database,
    now: float,
    who: Identity,
    jobs: Sequence[Prepared],
    numbers: Sequence[int],
    queues: Mapping[str, TaskQueue],
    first: int,
) -> None:
    """Write the documents under these numbers, and their jobs from the first id on."""
    if not jobs:
        return
    documents = (
        (number, who.community, len(document.members), document.spec)
        for number, document in zip(numbers, jobs, strict=True)
    )
    await db.copy_records_to_table("documents", records=documents, columns=DOCUMENT_COLUMNS)
    ids = count(first)
    whose = (who.community, who.group, who.user)
    records = (
        (next(ids), number, queue, *whose, *member, "waiting", document.priority, document.retries, now, now)
        for number, document in zip(numbers, jobs, strict=True)
        for queue in (queues[document.needs].id,)
        for member in document.members
    )
    await db.copy_records_to_table("jobs", records=records, columns=COLUMNS)


def _added(
    jobs: Sequence[Prepared], queues: Mapping[str, TaskQueue], ranges: Sequence[tuple[int, int]]
) -> tuple[Waiting, ...]:
    """What came to which queue."""
    oldest: dict[str, int] = {}
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for document, (first, number) in zip(jobs, ranges, strict=True):
        if number:
            oldest.setdefault(document.needs, first)
            counts[document.needs][document.priority] += number
    return tuple(Waiting(queues[needs], dict(counts[needs]), first) for needs, first in oldest.items())


async def take_ids(db: Database, count: int) -> int:
    """The first of so many ids for new jobs, in a row; nobody else gets them, also when they are never used."""
    return int(await db.fetchval(TAKE_IDS, count))
