"""The audit: its lines, which are only added to, and the links of its chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.auditing import AuditQuery, StoredChain, StoredLink, Unlinked, following, packed
from central.records import Note, Noted
from central.store.rows import audit_line, audit_link, audit_start, noted
from pilot.audit import AuditLine, AuditLink, AuditStart

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

#: Before every id.
LOWEST = -(2**63)
#: Lines after the newest link that are shown with it.
TAIL = 10_000
NOTE = """
    INSERT INTO audit (time, who, what, community, owner, subject, job, attempt, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
NOTES = "SELECT * FROM audit WHERE community = $1 AND owner = $2 AND subject = $3 ORDER BY id DESC LIMIT $4"
AUDIT = "SELECT * FROM audit WHERE {} ORDER BY id DESC LIMIT {}"
# What a query asks for, by its fields.
CONDITIONS = {
    "community": "community = {0}",
    "since": "time >= {0}",
    "until": "time < {0}",
    "who": "who = {0}",
    "what": "(what = {0} OR (what ~>=~ ({0} || '.') AND what ~<~ ({0} || '/')))",
    "owner": "owner = {0}",
    "subject": "subject = {0}",
    "job": "job = {0}",
    "before": "id < {0}",
}
TYPES = {"since": "float8", "until": "float8", "job": "bigint", "before": "bigint"}
NEWEST = "SELECT * FROM audit_links ORDER BY number DESC LIMIT 1"
LINK_OF = "SELECT * FROM audit_links WHERE number = $1"
LINKS = "SELECT * FROM audit_links WHERE number > $1 ORDER BY number LIMIT $2"
END_BEFORE = "SELECT last FROM audit_links WHERE number < $1 ORDER BY number DESC LIMIT 1"
START = "SELECT * FROM audit_starts ORDER BY id DESC LIMIT 1"
IS_MORE = "SELECT EXISTS (SELECT 1 FROM audit WHERE id > $1)"
AFTER = "SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2"
BETWEEN = "SELECT * FROM audit WHERE id > $1 AND id <= $2 ORDER BY id"
# Nobody adds lines who has not had the lock first, shared with others who do: see the migration.
PATIENCE = "SET LOCAL lock_timeout = '2s'"
LOCK = "SELECT pg_advisory_xact_lock(5016247, 3)"
LINK = """
    INSERT INTO audit_links (number, first, last, time, previous, hash, key_id, seal, digests)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT DO NOTHING RETURNING number
"""
OLD = """
    SELECT * FROM (SELECT * FROM audit_links ORDER BY number LIMIT $2) AS oldest
    WHERE time < $1 AND number < (SELECT max(number) FROM audit_links)
    ORDER BY number DESC LIMIT 1
"""
BEGIN = """
    INSERT INTO audit_starts (through, hash, last, time, key_id, seal) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
"""
LET_GO = "WITH gone AS (DELETE FROM audit WHERE id <= $1 RETURNING 1) SELECT count(*) FROM gone"
LET_LINKS_GO = "DELETE FROM audit_links WHERE number <= $1"
FORGET = "DELETE FROM audit_starts WHERE id < $1"


async def note(db: Database, now: float, notes: Sequence[Note]) -> None:
    await db.executemany(
        NOTE,
        [
            (now, one.who, one.what, one.community, one.owner, one.subject, one.job, one.attempt, one.detail)
            for one in notes
        ],
    )


async def notes(db: Database, community: str, owner: str, subject: str, limit: int) -> tuple[Noted, ...]:
    return tuple(noted(row) for row in await db.fetch(NOTES, community, owner, subject, limit))


async def audit(db: Database, query: AuditQuery, limit: int) -> tuple[AuditLine, ...]:
    asked = {name: value for name in CONDITIONS if (value := getattr(query, name)) is not None}
    places = {name: f"${number}::{TYPES.get(name, 'text')}" for number, name in enumerate(asked, 1)}
    where = " AND ".join(CONDITIONS[name].format(place) for name, place in places.items()) or "true"
    rows = await db.fetch(AUDIT.format(where, f"${len(asked) + 1}"), *asked.values(), limit)
    return tuple(map(audit_line, rows))


async def newest(db: Database) -> tuple[Unlinked, bool]:
    """Where the chain ends, and whether there may be more to link."""
    last, start = await _newest(db), await _start(db)
    return Unlinked(last, start, ()), await db.fetchval(IS_MORE, _end(last, start))


async def unlinked(db: Database, now: float, limit: int) -> Unlinked:
    """Ids are drawn before they can be seen: whoever has the lock alone sees all that were drawn."""
    await db.execute(PATIENCE)
    await db.execute(LOCK)
    last, start = await _newest(db), await _start(db)
    return Unlinked(last, start, tuple(map(audit_line, await db.fetch(AFTER, _end(last, start), limit))))


async def link(db: Database, now: float, link: AuditLink) -> bool:
    if (link.number, link.previous) != following(await _newest(db), await _start(db)):
        return False
    values = (link.number, link.first, link.last, link.time, link.previous, link.hash, link.key_id, link.seal)
    return await db.fetchval(LINK, *values, packed(link.digests)) is not None


async def audit_link_of(db: Database, number: int) -> AuditLink | None:
    row = await db.fetchrow(LINK_OF, number)
    return None if row is None else audit_link(row)


async def chain(db: Database, after: int, limit: int) -> StoredChain:
    rows = [audit_link(row) for row in await db.fetch(LINKS, after, limit + 1)]
    links: list[StoredLink] = []
    before = await db.fetchval(END_BEFORE, rows[0].number) if rows else None
    end = LOWEST if before is None else before
    for one in rows[:limit]:
        links.append(StoredLink(one, tuple(map(audit_line, await db.fetch(BETWEEN, end, one.last)))))
        end = one.last
    more, start = len(rows) > limit, await _start(db)
    tail = () if more else await db.fetch(AFTER, _end(await _newest(db), start), TAIL)
    return StoredChain(start, tuple(links), tuple(map(audit_line, tail)), more)


async def old_link(db: Database, before: float, limit: int) -> AuditLink | None:
    row = await db.fetchrow(OLD, before, limit)
    return None if row is None else audit_link(row)


async def let_go(db: Database, now: float, start: AuditStart) -> int:
    values = (start.through, start.hash, start.last, start.time, start.key_id, start.seal)
    id = await db.fetchval(BEGIN, *values)
    gone: int = await db.fetchval(LET_GO, start.last)
    await db.execute(LET_LINKS_GO, start.through)
    await db.execute(FORGET, id)
    return gone


async def _newest(db: Database) -> AuditLink | None:
    row = await db.fetchrow(NEWEST)
    return None if row is None else audit_link(row)


async def _start(db: Database) -> AuditStart | None:
    row = await db.fetchrow(START)
    return None if row is None else audit_start(row)


def _end(last: AuditLink | None, start: AuditStart | None) -> int:
    """The id after which lines are not linked yet."""
    if last:
        return last.last
    return start.last if start else LOWEST
