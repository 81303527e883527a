"""Secrets of people, sealed. What is done with them is noted in the audit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from central.records import CredentialRow, Note
from central.store import codec
from central.store.decide import too_many_credentials, unknown_credential
from central.store.port_vault import Entitled
from central.store.rows import credential_row, entitled_row
from central.store.sqlite.audit import note

KEEP = """
    INSERT INTO credentials (community, owner, name, kind, urls, expires, key_id, sealed, changed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (community, owner, name) DO UPDATE
    SET kind = excluded.kind, urls = excluded.urls, expires = excluded.expires, key_id = excluded.key_id,
        sealed = excluded.sealed, changed = excluded.changed
"""
OTHERS = "SELECT count(*) FROM credentials WHERE community = ? AND owner = ? AND name <> ?"
SELECT = """
    SELECT * FROM credentials
    WHERE community = :community AND (:owner IS NULL OR owner = :owner)
      AND (:names IS NULL OR name IN (SELECT value FROM json_each(:names)))
    ORDER BY owner, name
"""
WAITING = """
    SELECT id FROM jobs
    WHERE queue = :queue AND state = 'waiting' AND document IN (
        SELECT documents.id FROM documents, json_each(documents.spec, '$.credentials') AS name
        WHERE name.value = :credential
          AND documents.id IN (SELECT document FROM jobs WHERE queue = :queue AND state = 'waiting'))
    ORDER BY id LIMIT :limit
"""
# As far as the limit. `+`: of all that its owner ever had, fewer are out on pilots in all the community.
RUNNING = """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE community = :community AND state IN ('matched', 'running', 'completing') AND +owner = :owner
          AND document IN (
              SELECT documents.id FROM documents, json_each(documents.spec, '$.credentials') AS name
              WHERE name.value = :credential
                AND documents.id IN (
                    SELECT document FROM jobs
                    WHERE community = :community AND state IN ('matched', 'running', 'completing')
                      AND +owner = :owner))
        LIMIT :limit)
"""
ENTITLED = """
    SELECT attempts.job, attempts.attempt, jobs.community, jobs.owner,
           json_extract(documents.spec, '$.credentials') AS names
    FROM pilots
    JOIN attempts ON attempts.pilot = pilots.id AND attempts.phase <> 'ended'
    JOIN jobs ON jobs.id = attempts.job AND jobs.attempt = attempts.attempt
    JOIN documents ON documents.id = jobs.document
    WHERE pilots.stamp = ? AND jobs.state IN ('matched', 'running', 'completing')
      AND json_array_length(documents.spec, '$.credentials') > 0
    ORDER BY attempts.job
"""
REMOVE = "DELETE FROM credentials WHERE community = ? AND owner = ? AND name = ?"
UNDER_OTHERS = "SELECT * FROM credentials WHERE key_id NOT IN (SELECT value FROM json_each(?)) LIMIT ?"
RESEAL = """
    UPDATE credentials SET key_id = ?, sealed = ?
    WHERE community = ? AND owner = ? AND name = ? AND key_id = ? AND sealed = ?
"""


def keep(db: sqlite3.Connection, now: float, row: CredentialRow, line: Note, most: int) -> float:
    if db.execute(OTHERS, (row.community, row.owner, row.name)).fetchone()[0] >= most:
        raise too_many_credentials(most)
    urls = codec.text(row.urls)
    values = (row.community, row.owner, row.name, row.kind, urls, row.expires, row.key_id, row.sealed, now)
    db.execute(KEEP, values)
    note(db, now, (line,))
    return now


def credentials(
    db: sqlite3.Connection, community: str, owner: str | None, names: Sequence[str] | None
) -> tuple[CredentialRow, ...]:
    named = None if names is None else codec.text(list(names))
    rows = db.execute(SELECT, {"community": community, "owner": owner, "names": named})
    return tuple(credential_row(row) for row in rows)


def waiting_for(db: sqlite3.Connection, queue: int, credential: str, limit: int) -> tuple[int, ...]:
    rows = db.execute(WAITING, {"queue": queue, "credential": credential, "limit": limit})
    return tuple(row[0] for row in rows)


def running_with(db: sqlite3.Connection, community: str, owner: str, credential: str, limit: int) -> int:
    named = {"community": community, "owner": owner, "credential": credential, "limit": limit}
    return int(db.execute(RUNNING, named).fetchone()[0])


def entitled(db: sqlite3.Connection, stamp: str) -> tuple[Entitled, ...]:
    return tuple(entitled_row(row) for row in db.execute(ENTITLED, (stamp,)))


def remove(db: sqlite3.Connection, now: float, community: str, owner: str, name: str, line: Note) -> None:
    if not db.execute(REMOVE, (community, owner, name)).rowcount:
        raise unknown_credential(name)
    note(db, now, (line,))


def under_others(db: sqlite3.Connection, keys: Sequence[str], limit: int) -> tuple[CredentialRow, ...]:
    return tuple(credential_row(row) for row in db.execute(UNDER_OTHERS, (codec.text(list(keys)), limit)))


def reseal(db: sqlite3.Connection, now: float, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
    values = (key_id, sealed, old.community, old.owner, old.name, old.key_id, old.sealed)
    return db.execute(RESEAL, values).rowcount > 0
