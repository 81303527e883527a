"""Submission: documents become jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.records import Identity, NewJobs, Submitted, Waiting
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
ADD_DOCUMENT = "INSERT INTO documents (community, jobs, spec) VALUES ($1, $2, $3) RETURNING id"
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
        if seen := await db.fetchrow(SEEN_KEY, who.community, who.user, key):
            if seen["digest"] != digest:
                raise Refusal("idempotency-mismatch", f"The key {key!r} came before with another request.")
            return Submitted(codec.ranges(seen["ranges"]), (), again=True)
    total = sum(len(document.members) for document in jobs)
    first = await take_ids(db, total) if total else 0
    ranges: list[tuple[int, int]] = []
    added: dict[int, Waiting] = {}
    for document in jobs:
        count = len(document.members)
        queue = await waiting.obtain(db, who.community, who.group, who.user, document.needs)
        await _add(db, now, who, document, queue, first)
        ranges.append((first, count))
        if count:
            before = added.get(queue) or Waiting((await waiting.load(db, [queue]))[queue], {}, first)
            more = before.counts.get(document.priority, 0) + count
            added[queue] = Waiting(before.queue, {**before.counts, document.priority: more}, before.oldest)
        first += count
    if key is not None:
        await db.execute(KEEP_KEY, who.community, who.user, key, digest, codec.text(ranges), now)
    return Submitted(tuple(ranges), tuple(added.values()))


async def _add(db: Database, now: float, who: Identity, document: Prepared, queue: int, first: int) -> None:
    number = await db.fetchval(ADD_DOCUMENT, who.community, len(document.members), document.spec)
    common = (number, queue, who.community, who.group, who.user)
    rest = ("waiting", document.priority, document.retries, now, now)
    records = ((job, *common, *member, *rest) for job, member in enumerate(document.members, first))
    await db.copy_records_to_table("jobs", records=records, columns=COLUMNS)


async def take_ids(db: Database, count: int) -> int:
    """The first of so many ids for new jobs, in a row; nobody else gets them, also when they are never used."""
    return int(await db.fetchval(TAKE_IDS, count))
