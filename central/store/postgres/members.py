"""Memberships that admins gave while the central runs, and API tokens: what was taken back stays as a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from central.people import CERTIFICATE_GIVER, GIVER, MemberRow, NewMember, NewToken, TokenRow, Whose
from central.records import Note
from central.store import codec
from central.store.decide import end_of_token, too_many_tokens, unknown_member, unknown_token
from central.store.postgres.audit import note
from central.store.postgres.vault import LOCK
from central.store.rows import member_row, token_row

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# Somebody who comes back is a member anew: by whom and since when is another, who left before is in the audit. What an
# admin has said since a login looked is not taken back by that login: it changes what such logins gave or ended alone.
KEEP = f"""
    INSERT INTO members (owner, community, "group", role, who, created, site) VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (community, "group", owner, site) DO UPDATE
    SET role = excluded.role, who = excluded.who, revoked = NULL, revoked_by = '', reason = '',
        created = CASE WHEN members.revoked IS NULL THEN members.created ELSE excluded.created END
    WHERE (members.role <> excluded.role OR members.revoked IS NOT NULL)
      AND (excluded.who NOT IN ('{GIVER}', '{CERTIFICATE_GIVER}')
        OR (members.revoked IS NULL AND members.who = excluded.who)
        OR (members.revoked IS NOT NULL AND members.revoked_by = '{GIVER}'))
    RETURNING id
"""  # noqa: S608 - constants
MEMBER = 'SELECT * FROM members WHERE community = $1 AND "group" = $2 AND owner = $3 AND site = $4'
_WHOSE = """
    ($1::text IS NULL OR community = $1) AND ($2::text IS NULL OR "group" = $2) AND ($3::text IS NULL OR owner = $3)
      AND ($4::text IS NULL OR site = $4)
"""
# The same order in every store, whatever the collation of this database.
MEMBERS = f"""
    SELECT * FROM members WHERE {_WHOSE}
    ORDER BY community COLLATE "C", "group" COLLATE "C", site COLLATE "C", owner COLLATE "C"
"""  # noqa: S608 - constants
TOKENS = f"SELECT * FROM api_tokens WHERE {_WHOSE} ORDER BY id DESC"  # noqa: S608 - constants
MEMBERS_NOW = "SELECT * FROM members WHERE revoked IS NULL ORDER BY id"
# The time is NULL for this server's.
TOKENS_NOW = """
    SELECT * FROM api_tokens
    WHERE revoked IS NULL AND expires > coalesce($1, extract(epoch FROM clock_timestamp())) ORDER BY id
"""
REVOKE_MEMBER = """
    UPDATE members SET revoked = $1, revoked_by = $2, reason = $3 WHERE id = $4 AND revoked IS NULL RETURNING *
"""
MEMBER_BY_ID = "SELECT * FROM members WHERE id = $1"
OF_MEMBER = """
    SELECT id FROM api_tokens WHERE community = $1 AND "group" = $2 AND owner = $3 AND site = $4 AND revoked IS NULL
"""
COUNT = "SELECT count(*) FROM api_tokens WHERE community = $1 AND owner = $2 AND revoked IS NULL AND expires > $3"
OPEN = """
    INSERT INTO api_tokens
        (sha256, name, owner, community, "group", role, scopes, who, parent, created, expires, site)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *
"""
TOKEN = "SELECT * FROM api_tokens WHERE id = $1"
# With those that were made with them, and so on.
REVOKE_TOKENS = """
    WITH RECURSIVE gone (id) AS (
        SELECT unnest($1::bigint[])
        UNION SELECT api_tokens.id FROM api_tokens JOIN gone ON api_tokens.parent = gone.id
    )
    UPDATE api_tokens SET revoked = $2, revoked_by = $3
    WHERE id IN (SELECT id FROM gone) AND revoked IS NULL
"""
USED = "UPDATE api_tokens SET used = $1 WHERE id = $2 AND (used IS NULL OR used < $1)"


async def keep(db: Database, now: float, new: NewMember, line: Note) -> MemberRow:
    values = (new.user, new.community, new.group, new.role, new.who, now, new.site)
    if await db.fetchval(KEEP, *values) is not None:
        await note(db, now, (line,))
    found = await db.fetchrow(MEMBER, new.community, new.group, new.user, new.site)
    assert found is not None  # noqa: S101 - it was written just now
    return member_row(found)


async def members(db: Database, whose: Whose) -> tuple[MemberRow, ...]:
    return tuple(map(member_row, await db.fetch(MEMBERS, whose.community, whose.group, whose.user, whose.site)))


async def revoke_member(db: Database, now: float, number: int, who: str, reason: str, line: Note) -> MemberRow:
    found = await db.fetchrow(REVOKE_MEMBER, now, who, reason, number)
    if found is None:  # it is not there, or somebody did that before
        found = await db.fetchrow(MEMBER_BY_ID, number)
        if found is None:
            raise unknown_member(str(number))
        return member_row(found)
    row = member_row(found)
    tokens = [each["id"] for each in await db.fetch(OF_MEMBER, row.community, row.group, row.user, row.site)]
    await db.execute(REVOKE_TOKENS, tokens, now, who)
    await note(db, now, (line,))
    return row


async def open_token(db: Database, now: float, new: NewToken, most: int, line: Note) -> TokenRow:
    await db.execute(LOCK, new.community, new.user)
    if await db.fetchval(COUNT, new.community, new.user, now) >= most:
        raise too_many_tokens(new.user, most)
    parent = None if new.parent is None else await token(db, new.parent)
    values = (
        *(new.sha256, new.name, new.user, new.community, new.group, new.role, codec.text(new.scopes), new.who),
        *(new.parent, now, end_of_token(new, parent, now), new.site),
    )
    found = await db.fetchrow(OPEN, *values)
    assert found is not None  # noqa: S101 - it was written just now
    await note(db, now, (line,))
    return token_row(found)


async def tokens(db: Database, whose: Whose) -> tuple[TokenRow, ...]:
    return tuple(map(token_row, await db.fetch(TOKENS, whose.community, whose.group, whose.user, whose.site)))


async def token(db: Database, number: int) -> TokenRow:
    found = await db.fetchrow(TOKEN, number)
    if found is None:
        raise unknown_token(number)
    return token_row(found)


async def revoke_token(db: Database, now: float, number: int, who: str, line: Note) -> TokenRow:
    if (await token(db, number)).revoked is None:
        await db.execute(REVOKE_TOKENS, [number], now, who)
        await note(db, now, (line,))
    return await token(db, number)


async def people(db: Database, now: float | None) -> tuple[tuple[MemberRow, ...], tuple[TokenRow, ...]]:
    members_now = await db.fetch(MEMBERS_NOW)
    return tuple(map(member_row, members_now)), tuple(map(token_row, await db.fetch(TOKENS_NOW, now)))


async def used_tokens(db: Database, now: float, used: Mapping[int, float]) -> None:
    await db.executemany(USED, [(when, number) for number, when in used.items()])
