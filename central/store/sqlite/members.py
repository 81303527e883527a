"""Memberships that admins gave while the central runs, and API tokens: what was taken back stays as a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from central.people import CERTIFICATE_GIVER, GIVER, MemberRow, NewMember, NewToken, TokenRow, Whose
from central.records import Note
from central.store import codec
from central.store.decide import end_of_token, too_many_tokens, unknown_member, unknown_token
from central.store.rows import member_row, token_row
from central.store.sqlite.audit import note

# Somebody who comes back is a member anew: by whom and since when is another, who left before is in the audit. What an
# admin has said since a login looked is not taken back by that login: it changes what such logins gave or ended alone.
KEEP = f"""
    INSERT INTO members (owner, community, "group", role, who, created, site) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (community, "group", owner, site) DO UPDATE
    SET role = excluded.role, who = excluded.who, revoked = NULL, revoked_by = '', reason = '',
        created = CASE WHEN members.revoked IS NULL THEN members.created ELSE excluded.created END
    WHERE (members.role <> excluded.role OR members.revoked IS NOT NULL)
      AND (excluded.who NOT IN ('{GIVER}', '{CERTIFICATE_GIVER}')
        OR (members.revoked IS NULL AND members.who = excluded.who)
        OR (members.revoked IS NOT NULL AND members.revoked_by = '{GIVER}'))
"""  # noqa: S608 - constants
MEMBER = 'SELECT * FROM members WHERE community = ? AND "group" = ? AND owner = ? AND site = ?'
_WHOSE = """
    (:community IS NULL OR community = :community) AND (:group IS NULL OR "group" = :group)
      AND (:user IS NULL OR owner = :user) AND (:site IS NULL OR site = :site)
"""
MEMBERS = f'SELECT * FROM members WHERE {_WHOSE} ORDER BY community, "group", site, owner'  # noqa: S608 - constants
TOKENS = f"SELECT * FROM api_tokens WHERE {_WHOSE} ORDER BY id DESC"  # noqa: S608 - constants
MEMBERS_NOW = "SELECT * FROM members WHERE revoked IS NULL ORDER BY id"
TOKENS_NOW = "SELECT * FROM api_tokens WHERE revoked IS NULL AND expires > ? ORDER BY id"
REVOKE_MEMBER = "UPDATE members SET revoked = ?, revoked_by = ?, reason = ? WHERE id = ? AND revoked IS NULL"
MEMBER_BY_ID = "SELECT * FROM members WHERE id = ?"
OF_MEMBER = """
    SELECT id FROM api_tokens WHERE community = ? AND "group" = ? AND owner = ? AND site = ? AND revoked IS NULL
"""
COUNT = "SELECT count(*) FROM api_tokens WHERE community = ? AND owner = ? AND revoked IS NULL AND expires > ?"
OPEN = """
    INSERT INTO api_tokens
        (sha256, name, owner, community, "group", role, scopes, who, parent, created, expires, site)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *
"""
TOKEN = "SELECT * FROM api_tokens WHERE id = ?"
# With those that were made with them, and so on.
REVOKE_TOKENS = """
    WITH RECURSIVE gone (id) AS (
        SELECT value FROM json_each(:tokens)
        UNION SELECT api_tokens.id FROM api_tokens JOIN gone ON api_tokens.parent = gone.id
    )
    UPDATE api_tokens SET revoked = :now, revoked_by = :who
    WHERE id IN (SELECT id FROM gone) AND revoked IS NULL
"""
USED = "UPDATE api_tokens SET used = ?1 WHERE id = ?2 AND (used IS NULL OR used < ?1)"


def keep(db: sqlite3.Connection, now: float, new: NewMember, line: Note) -> MemberRow:
    values = (new.user, new.community, new.group, new.role, new.who, now, new.site)
    if db.execute(KEEP, values).rowcount:
        note(db, now, (line,))
    return member_row(db.execute(MEMBER, (new.community, new.group, new.user, new.site)).fetchone())


def members(db: sqlite3.Connection, whose: Whose) -> tuple[MemberRow, ...]:
    return tuple(map(member_row, db.execute(MEMBERS, vars(whose))))


def revoke_member(db: sqlite3.Connection, now: float, number: int, who: str, reason: str, line: Note) -> MemberRow:
    found = db.execute(MEMBER_BY_ID, (number,)).fetchone()
    if found is None:
        raise unknown_member(str(number))
    if db.execute(REVOKE_MEMBER, (now, who, reason, number)).rowcount:
        row = member_row(found)
        tokens = [each[0] for each in db.execute(OF_MEMBER, (row.community, row.group, row.user, row.site))]
        _revoke(db, now, tokens, who)
        note(db, now, (line,))
    return member_row(db.execute(MEMBER_BY_ID, (number,)).fetchone())


def open_token(db: sqlite3.Connection, now: float, new: NewToken, most: int, line: Note) -> TokenRow:
    if db.execute(COUNT, (new.community, new.user, now)).fetchone()[0] >= most:
        raise too_many_tokens(new.user, most)
    parent = None if new.parent is None else token(db, new.parent)
    values = (
        *(new.sha256, new.name, new.user, new.community, new.group, new.role, codec.text(new.scopes), new.who),
        *(new.parent, now, end_of_token(new, parent, now), new.site),
    )
    (found,) = db.execute(OPEN, values).fetchall()
    note(db, now, (line,))
    return token_row(found)


def tokens(db: sqlite3.Connection, whose: Whose) -> tuple[TokenRow, ...]:
    return tuple(map(token_row, db.execute(TOKENS, vars(whose))))


def token(db: sqlite3.Connection, number: int) -> TokenRow:
    found = db.execute(TOKEN, (number,)).fetchone()
    if found is None:
        raise unknown_token(number)
    return token_row(found)


def revoke_token(db: sqlite3.Connection, now: float, number: int, who: str, line: Note) -> TokenRow:
    if token(db, number).revoked is None:
        _revoke(db, now, [number], who)
        note(db, now, (line,))
    return token(db, number)


def _revoke(db: sqlite3.Connection, now: float, numbers: Sequence[int], who: str) -> None:
    db.execute(REVOKE_TOKENS, {"tokens": codec.text(numbers), "now": now, "who": who})


def people(db: sqlite3.Connection, now: float) -> tuple[tuple[MemberRow, ...], tuple[TokenRow, ...]]:
    return tuple(map(member_row, db.execute(MEMBERS_NOW))), tuple(map(token_row, db.execute(TOKENS_NOW, (now,))))


def used_tokens(db: sqlite3.Connection, now: float, used: Mapping[int, float]) -> None:
    db.executemany(USED, [(when, number) for number, when in used.items()])
