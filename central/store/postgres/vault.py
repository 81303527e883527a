"""Secrets of people, sealed. What is done with them is noted in the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.records import CredentialRow, Note
from central.store import codec
from central.store.decide import too_many_credentials, unknown_credential
from central.store.port_vault import Entitled
from central.store.postgres.audit import note
from central.store.rows import credential_row, entitled_row

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# One at a time for an owner, so that the bound holds.
LOCK = "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))"
KEEP = """
    INSERT INTO credentials (community, owner, name, kind, urls, expires, key_id, sealed, changed)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (community, owner, name) DO UPDATE
    SET kind = excluded.kind, urls = excluded.urls, expires = excluded.expires, key_id = excluded.key_id,
        sealed = excluded.sealed, changed = excluded.changed
"""
OTHERS = "SELECT count(*) FROM credentials WHERE community = $1 AND owner = $2 AND name <> $3"
# The same order in every store, whatever the collation of this database.
SELECT = """
    SELECT * FROM credentials
    WHERE community = $1 AND ($2::text IS NULL OR owner = $2) AND ($3::text[] IS NULL OR name = ANY ($3::text[]))
    ORDER BY owner COLLATE "C", name COLLATE "C"
"""
WAITING = """
    SELECT id FROM jobs
    WHERE queue = $1 AND stage = 'waiting' AND document IN (
        SELECT id FROM documents
        WHERE spec::jsonb -> 'credentials' ? $2
          AND id IN (SELECT document FROM jobs WHERE queue = $1 AND stage = 'waiting'))
    ORDER BY id LIMIT $3
"""
# As far as the limit: an owner who runs very much is not counted to the end.
RUNNING = """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs
        WHERE community = $1 AND owner = $2 AND stage = 'out' AND document IN (
            SELECT id FROM documents
            WHERE spec::jsonb -> 'credentials' ? $3
              AND id IN (SELECT document FROM jobs WHERE community = $1 AND owner = $2 AND stage = 'out'))
        LIMIT $4) AS found
"""
ENTITLED = """
    SELECT attempts.job, attempts.attempt, jobs.community, jobs.owner,
           (documents.spec::jsonb -> 'credentials')::text AS names
    FROM pilots
    JOIN attempts ON attempts.pilot = pilots.id AND attempts.ended IS NULL
    JOIN jobs ON jobs.id = attempts.job AND jobs.attempt = attempts.attempt AND jobs.stage = 'out'
    JOIN documents ON documents.id = jobs.document
    WHERE pilots.stamp = $1 AND jsonb_array_length(documents.spec::jsonb -> 'credentials') > 0
    ORDER BY attempts.job
"""
REMOVE = "DELETE FROM credentials WHERE community = $1 AND owner = $2 AND name = $3 RETURNING name"
UNDER_OTHERS = "SELECT * FROM credentials WHERE key_id <> ALL ($1::text[]) LIMIT $2"
RESEAL = """
    UPDATE credentials SET key_id = $1, sealed = $2
    WHERE community = $3 AND owner = $4 AND name = $5 AND key_id = $6 AND sealed = $7
    RETURNING name
"""


async def keep(db: Database, now: float, row: CredentialRow, line: Note, most: int) -> float:
    await db.execute(LOCK, row.community, row.owner)
    if await db.fetchval(OTHERS, row.community, row.owner, row.name) >= most:
        raise too_many_credentials(most)
    urls = codec.text(row.urls)
    values = (row.community, row.owner, row.name, row.kind, urls, row.expires, row.key_id, row.sealed, now)
    await db.execute(KEEP, *values)
    await note(db, now, (line,))
    return now


async def credentials(
    db: Database, community: str, owner: str | None, names: Sequence[str] | None
) -> tuple[CredentialRow, ...]:
    rows = await db.fetch(SELECT, community, owner, None if names is None else list(names))
    return tuple(credential_row(row) for row in rows)


async def waiting_for(db: Database, queue: int, credential: str, limit: int) -> tuple[int, ...]:
    return tuple(row["id"] for row in await db.fetch(WAITING, queue, credential, limit))


async def running_with(db: Database, community: str, owner: str, credential: str, limit: int) -> int:
    return int(await db.fetchval(RUNNING, community, owner, credential, limit))


async def entitled(db: Database, stamp: str) -> tuple[Entitled, ...]:
    return tuple(entitled_row(row) for row in await db.fetch(ENTITLED, stamp))


async def remove(db: Database, now: float, community: str, owner: str, name: str, line: Note) -> None:
    if await db.fetchval(REMOVE, community, owner, name) is None:
        raise unknown_credential(name)
    await note(db, now, (line,))


async def under_others(db: Database, keys: Sequence[str], limit: int) -> tuple[CredentialRow, ...]:
    return tuple(credential_row(row) for row in await db.fetch(UNDER_OTHERS, list(keys), limit))


async def reseal(db: Database, now: float, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
    found = await db.fetchval(RESEAL, key_id, sealed, old.community, old.owner, old.name, old.key_id, old.sealed)
    return found is not None
