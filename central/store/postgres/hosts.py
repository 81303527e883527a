"""Machines on which jobs fail fast: kept until one succeeds there. `central.store.suspicion` decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from central.store.rows import host_row
from central.store.suspicion import FAILURES, HostRow, after_end
from pilot.states import Outcome

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

#: (site, host)
Place: TypeAlias = tuple[str, str]

_FAILED = [outcome.value for outcome in FAILURES]

# A row to lock where there is none yet; one without failures says nothing.
RESERVE = """
    INSERT INTO hosts (site, host, failures, faults, owner, several, since, pause, next)
    SELECT site, host, 0, 0, '', false, 0, 0, 0 FROM unnest($1::text[], $2::text[]) AS wanted (site, host)
    ON CONFLICT DO NOTHING
"""
LOCK = """
    SELECT hosts.* FROM hosts
    JOIN unnest($1::text[], $2::text[]) AS wanted (site, host) USING (site, host)
    ORDER BY hosts.site, hosts.host
    FOR NO KEY UPDATE OF hosts
"""
# Attempts that are out on these machines and were leased since they are suspect.
TRIALS = """
    SELECT pilots.site, pilots.host, count(*) AS count
    FROM unnest($1::text[], $2::text[], $3::float8[]) AS wanted (site, host, suspected)
    JOIN pilots ON pilots.site = wanted.site AND pilots.host = wanted.host AND pilots.host <> ''
               AND pilots.ended IS NULL
    JOIN attempts ON attempts.pilot = pilots.id AND attempts.ended IS NULL AND attempts.started > wanted.suspected
    GROUP BY pilots.site, pilots.host
"""
KEEP = """
    UPDATE hosts SET failures = $3, faults = $4, owner = $5, several = $6, since = $7, suspected = $8, pause = $9,
                     next = $10
    WHERE site = $1 AND host = $2
"""
# A job that has not failed on a machine becomes an attempt there.
TRY = """
    UPDATE jobs SET state = 'matched', attempt = attempt + 1, changed = $1, reason = ''
    WHERE id = (
        SELECT id FROM jobs
        WHERE queue = $2 AND stage = 'waiting' AND (attempt = 0 OR NOT EXISTS (
            SELECT FROM attempts JOIN pilots ON pilots.id = attempts.pilot
            WHERE attempts.job = jobs.id AND attempts.site = $3 AND pilots.host = $4
              AND attempts.outcome = ANY($5::text[])
        ))
        ORDER BY priority DESC, id LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING id AS job, attempt, queue, priority, document, parameters, inputs
"""
# Of these attempts those of which an earlier one failed on the same machine.
AGAIN = """
    SELECT asked.job, asked.attempt
    FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[]) AS asked (job, attempt, site, host)
    WHERE EXISTS (
        SELECT FROM attempts JOIN pilots ON pilots.id = attempts.pilot
        WHERE attempts.job = asked.job AND attempts.attempt < asked.attempt AND attempts.site = asked.site
          AND pilots.host = asked.host AND attempts.outcome = ANY($5::text[])
    )
"""
FORGET = "DELETE FROM hosts WHERE site = $1 AND host = $2"


@dataclass(frozen=True)
class HostEnd:
    """An attempt that ended on a machine."""

    job: int
    attempt: int
    place: Place
    outcome: Outcome
    seconds: float  # since it was leased
    owner: str  # as `suspicion.whose` has it


def known_host(row: Row) -> HostRow | None:
    """A row of hosts, or of a view with its columns; None when nothing is known against that machine."""
    return host_row(row) if row["failures"] else None


async def lock(db: Database, places: Iterable[Place]) -> dict[Place, HostRow]:
    """Those of these machines that something is known of; nobody else changes that until the transaction ends."""
    wanted = sorted(set(places))
    rows = await db.fetch(LOCK, [site for site, _ in wanted], [host for _, host in wanted])
    found = {(row["site"], row["host"]): known_host(row) for row in rows}
    return {place: row for place, row in found.items() if row is not None}


async def trials(db: Database, machines: Mapping[Place, HostRow]) -> dict[Place, int]:
    """How many attempts are out on each suspect machine that were leased since it is suspect."""
    suspects = [(place, row.suspected) for place, row in machines.items() if row.suspected is not None]
    if not suspects:
        return {}
    sites, hosts = [place[0] for place, _ in suspects], [place[1] for place, _ in suspects]
    rows = await db.fetch(TRIALS, sites, hosts, [suspected for _, suspected in suspects])
    return {(row["site"], row["host"]): row["count"] for row in rows}


async def trial(db: Database, now: float, queue: int, place: Place) -> Row | None:
    """Take the first job of a queue that has not failed on a machine, to try that with it."""
    return await db.fetchrow(TRY, now, queue, *place, _FAILED)


async def settle(db: Database, now: float, ends: Sequence[HostEnd]) -> None:
    """Count what ended, in this order."""
    failed = sorted({end.place for end in ends if end.outcome is not Outcome.SUCCESS})
    if failed:
        await db.execute(RESERVE, [site for site, _ in failed], [host for _, host in failed])
    places = sorted({end.place for end in ends})
    before = await lock(db, places)
    again = await _again(db, ends)
    after: dict[Place, HostRow | None] = dict(before)
    for end in ends:
        repeated = (end.job, end.attempt) in again
        row = after.get(end.place)
        after[end.place] = after_end(row, end.outcome, end.seconds, end.owner, now, again=repeated)
    for place in places:
        row = after.get(place)
        if row is None:
            await db.execute(FORGET, *place)
        elif row != before.get(place):
            values = (row.failures, row.faults, row.owner, row.several, row.since, row.suspected, row.pause, row.next)
            await db.execute(KEEP, *place, *values)


async def _again(db: Database, ends: Sequence[HostEnd]) -> set[tuple[int, int]]:
    """Those (job, attempt) whose job had failed on that machine before."""
    later = [end for end in ends if end.attempt > 1 and end.outcome in FAILURES]
    if not later:
        return set()
    rows = await db.fetch(
        AGAIN,
        [end.job for end in later],
        [end.attempt for end in later],
        [end.place[0] for end in later],
        [end.place[1] for end in later],
        _FAILED,
    )
    return {(row["job"], row["attempt"]) for row in rows}
