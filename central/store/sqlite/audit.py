"""The audit: its lines, which are only added to, and the links of its chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from central.auditing import AuditQuery, StoredChain, StoredLink, Unlinked, following, packed
from central.records import Note, Noted
from central.store.rows import audit_line, audit_link, audit_start, noted
from pilot.audit import AuditLine, AuditLink, AuditStart

#: Before every id.
LOWEST = -(2**63)
#: Lines after the newest link that are shown with it.
TAIL = 10_000
NOTE = """
    INSERT INTO audit (time, who, what, community, owner, subject, job, attempt, detail)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
NOTES = "SELECT * FROM audit WHERE community = ? AND owner = ? AND subject = ? ORDER BY id DESC LIMIT ?"
AUDIT = "SELECT * FROM audit WHERE {} ORDER BY id DESC LIMIT :limit"
# What a query asks for, by its fields.
CONDITIONS = {
    "community": "community = :community",
    "since": "time >= :since",
    "until": "time < :until",
    "who": "who = :who",
    "what": "(what = :what OR (what >= :what || '.' AND what < :what || '/'))",
    "owner": "owner = :owner",
    "subject": "subject = :subject",
    "job": "job = :job",
    "before": "id < :before",
}
NEWEST = "SELECT * FROM audit_links ORDER BY number DESC LIMIT 1"
LINK_OF = "SELECT * FROM audit_links WHERE number = ?"
LINKS = "SELECT * FROM audit_links WHERE number > ? ORDER BY number LIMIT ?"
END_BEFORE = "SELECT last FROM audit_links WHERE number < ? ORDER BY number DESC LIMIT 1"
START = "SELECT * FROM audit_starts ORDER BY id DESC LIMIT 1"
AFTER = "SELECT * FROM audit WHERE id > ? ORDER BY id LIMIT ?"
BETWEEN = "SELECT * FROM audit WHERE id > ? AND id <= ? ORDER BY id"
LINK = """
    INSERT INTO audit_links (number, first, last, time, previous, hash, key_id, seal, digests)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
OLD = """
    SELECT * FROM (SELECT * FROM audit_links ORDER BY number LIMIT :limit)
    WHERE time < :before AND number < (SELECT max(number) FROM audit_links)
    ORDER BY number DESC LIMIT 1
"""
BEGIN = "INSERT INTO audit_starts (through, hash, last, time, key_id, seal) VALUES (?, ?, ?, ?, ?, ?) RETURNING id"
LET_GO = "DELETE FROM audit WHERE id <= ?"
LET_LINKS_GO = "DELETE FROM audit_links WHERE number <= ?"
FORGET = "DELETE FROM audit_starts WHERE id < ?"


def note(db: sqlite3.Connection, now: float, notes: Sequence[Note]) -> None:
    db.executemany(
        NOTE,
        [
            (now, one.who, one.what, one.community, one.owner, one.subject, one.job, one.attempt, one.detail)
            for one in notes
        ],
    )


def notes(db: sqlite3.Connection, community: str, owner: str, subject: str, limit: int) -> tuple[Noted, ...]:
    return tuple(noted(row) for row in db.execute(NOTES, (community, owner, subject, limit)))


def audit(db: sqlite3.Connection, query: AuditQuery, limit: int) -> tuple[AuditLine, ...]:
    asked = {name: value for name in CONDITIONS if (value := getattr(query, name)) is not None}
    where = " AND ".join(CONDITIONS[name] for name in asked) or "true"
    return tuple(audit_line(row) for row in db.execute(AUDIT.format(where), {**asked, "limit": limit}))


def unlinked(db: sqlite3.Connection, limit: int) -> Unlinked:
    """One verb writes at a time, and ids grow: whoever reads has all that was before."""
    last, start = _newest(db), _start(db)
    lines = db.execute(AFTER, (_end(last, start), limit))
    return Unlinked(last, start, tuple(map(audit_line, lines)))


def link(db: sqlite3.Connection, now: float, link: AuditLink) -> bool:
    if (link.number, link.previous) != following(_newest(db), _start(db)):
        return False
    values = (link.number, link.first, link.last, link.time, link.previous, link.hash, link.key_id, link.seal)
    db.execute(LINK, (*values, packed(link.digests)))
    return True


def audit_link_of(db: sqlite3.Connection, number: int) -> AuditLink | None:
    row = db.execute(LINK_OF, (number,)).fetchone()
    return None if row is None else audit_link(row)


def chain(db: sqlite3.Connection, after: int, limit: int) -> StoredChain:
    rows = [audit_link(row) for row in db.execute(LINKS, (after, limit + 1))]
    links: list[StoredLink] = []
    before = db.execute(END_BEFORE, (rows[0].number,)).fetchone() if rows else None
    end = before[0] if before else LOWEST
    for one in rows[:limit]:
        links.append(StoredLink(one, tuple(map(audit_line, db.execute(BETWEEN, (end, one.last))))))
        end = one.last
    more = len(rows) > limit
    tail = () if more else tuple(map(audit_line, db.execute(AFTER, (_end(_newest(db), _start(db)), TAIL))))
    return StoredChain(_start(db), tuple(links), tail, more)


def old_link(db: sqlite3.Connection, before: float, limit: int) -> AuditLink | None:
    row = db.execute(OLD, {"before": before, "limit": limit}).fetchone()
    return None if row is None else audit_link(row)


def let_go(db: sqlite3.Connection, now: float, start: AuditStart) -> int:
    values = (start.through, start.hash, start.last, start.time, start.key_id, start.seal)
    id = db.execute(BEGIN, values).fetchone()[0]
    gone = db.execute(LET_GO, (start.last,)).rowcount
    db.execute(LET_LINKS_GO, (start.through,))
    db.execute(FORGET, (id,))
    return gone


def _newest(db: sqlite3.Connection) -> AuditLink | None:
    row = db.execute(NEWEST).fetchone()
    return None if row is None else audit_link(row)


def _start(db: sqlite3.Connection) -> AuditStart | None:
    row = db.execute(START).fetchone()
    return None if row is None else audit_start(row)


def _end(last: AuditLink | None, start: AuditStart | None) -> int:
    """The id after which lines are not linked yet."""
    if last:
        return last.last
    return start.last if start else LOWEST
