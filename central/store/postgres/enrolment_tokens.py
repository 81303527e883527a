"""Tokens by which pilots that nobody submitted enrol: each lets in so many, into one queue, for some time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.added import EnrolmentRow, NewEnrolment
from central.records import NewPilot, moment
from central.store import codec
from central.store.admission import no_enrolment, not_expected, same, token_problem
from central.store.postgres.connection import plain
from central.store.postgres.pilots import LOCKED, plan
from central.store.rows import enrolment_row
from pilot.errors import Refusal

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

ALL = "SELECT * FROM enrolment_tokens ORDER BY id DESC"
BY_ID = "SELECT * FROM enrolment_tokens WHERE id = $1"
BY_HASH = "SELECT * FROM enrolment_tokens WHERE hash = $1"
# Pilots that come with one token at the same time are let in one after another.
LOCKED_TOKEN = BY_HASH + " FOR NO KEY UPDATE"
OPEN = """
    INSERT INTO enrolment_tokens (hash, site, queue, communities, pilots, who, created, expires)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (hash) DO NOTHING
"""
REVOKE = "UPDATE enrolment_tokens SET revoked = $2, revoked_by = $3 WHERE id = $1 AND revoked IS NULL"
USE = "UPDATE enrolment_tokens SET used = used + 1 WHERE id = $1"
REFUSE = "UPDATE enrolment_tokens SET refused = refused + 1, alarm = $2 WHERE id = $1"


async def open_one(db: Database, now: float, new: NewEnrolment) -> EnrolmentRow:
    communities = codec.text(new.communities)
    await db.execute(OPEN, new.hash, new.site, new.queue, communities, new.pilots, new.who, now, now + new.seconds)
    return enrolment_row(_found(await db.fetchrow(BY_HASH, new.hash)))


async def enrolments(db: Database) -> tuple[EnrolmentRow, ...]:
    return tuple(map(enrolment_row, await db.fetch(ALL)))


async def enrolment_of(db: Database, hash: str) -> EnrolmentRow | None:
    found = await db.fetchrow(BY_HASH, hash)
    return enrolment_row(found) if found else None


async def revoke(db: Database, now: float, number: int, who: str) -> EnrolmentRow:
    await db.execute(REVOKE, number, now, who)
    found = await db.fetchrow(BY_ID, number)
    if found is None:
        raise no_enrolment(number)
    return enrolment_row(found)


async def shared(db: Database, hash: str) -> bool:
    """Whether a secret is a token by which several pilots enrol."""
    found = await db.fetchrow(BY_HASH, hash)
    return found is not None and found["pilots"] > 1


async def admit(db: Database, now: float, pilot: NewPilot, where: str) -> Refusal | None:
    """Why not, as a value: what is written about it must stay."""
    found = await db.fetchrow(LOCKED_TOKEN, pilot.secret_hash)
    if found is None:
        return not_expected()
    if known := await db.fetchrow(LOCKED, pilot.stamp):
        return None if same(pilot.secret_hash, known["secret_hash"]) else not_expected()
    token = enrolment_row(found)
    if problem := token_problem(token, now):
        alarm = plain(f"at {moment(now)} pilot {pilot.stamp} came{where}: {problem}")
        await db.execute(REFUSE, token.id, alarm)
        return problem
    await db.execute(USE, token.id)
    await plan(db, now, pilot)
    return None


def _found(row: Row | None) -> Row:
    if row is None:
        raise LookupError("an enrolment token that was just written is not there")
    return row
