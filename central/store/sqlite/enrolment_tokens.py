"""Tokens by which pilots that nobody submitted enrol: each lets in so many, into one queue, for some time."""

from __future__ import annotations

import sqlite3

from central.added import EnrolmentRow, NewEnrolment
from central.records import NewPilot, moment
from central.store import codec
from central.store.admission import no_enrolment, not_expected, same, token_problem
from central.store.rows import enrolment_row
from central.store.sqlite.pilots import ONE, plan
from pilot.errors import Refusal

ALL = "SELECT * FROM enrolment_tokens ORDER BY id DESC"
BY_ID = "SELECT * FROM enrolment_tokens WHERE id = ?"
BY_HASH = "SELECT * FROM enrolment_tokens WHERE hash = ?"
OPEN = """
    INSERT INTO enrolment_tokens (hash, site, queue, communities, pilots, who, created, expires)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING
"""
REVOKE = "UPDATE enrolment_tokens SET revoked = ?, revoked_by = ? WHERE id = ? AND revoked IS NULL"
USE = "UPDATE enrolment_tokens SET used = used + 1 WHERE id = ?"
REFUSE = "UPDATE enrolment_tokens SET refused = refused + 1, alarm = ? WHERE id = ?"


def open_one(db: sqlite3.Connection, now: float, new: NewEnrolment) -> EnrolmentRow:
    communities = codec.text(new.communities)
    values = (new.hash, new.site, new.queue, communities, new.pilots, new.who, now, now + new.seconds)
    db.execute(OPEN, values)
    return enrolment_row(db.execute(BY_HASH, (new.hash,)).fetchone())


def enrolments(db: sqlite3.Connection) -> tuple[EnrolmentRow, ...]:
    return tuple(map(enrolment_row, db.execute(ALL)))


def enrolment_of(db: sqlite3.Connection, hash: str) -> EnrolmentRow | None:
    found = db.execute(BY_HASH, (hash,)).fetchone()
    return enrolment_row(found) if found else None


def revoke(db: sqlite3.Connection, now: float, number: int, who: str) -> EnrolmentRow:
    if db.execute(BY_ID, (number,)).fetchone() is None:
        raise no_enrolment(number)
    db.execute(REVOKE, (now, who, number))
    return enrolment_row(db.execute(BY_ID, (number,)).fetchone())


def shared(db: sqlite3.Connection, hash: str) -> bool:
    """Whether a secret is a token by which several pilots enrol."""
    found = db.execute(BY_HASH, (hash,)).fetchone()
    return found is not None and found["pilots"] > 1


def admit(db: sqlite3.Connection, now: float, pilot: NewPilot, where: str) -> Refusal | None:
    """Why not, as a value: what is written about it must stay."""
    found = db.execute(BY_HASH, (pilot.secret_hash,)).fetchone()
    if found is None:
        return not_expected()
    if known := db.execute(ONE, (pilot.stamp,)).fetchone():
        return None if same(pilot.secret_hash, known["secret_hash"]) else not_expected()
    token = enrolment_row(found)
    if problem := token_problem(token, now):
        db.execute(REFUSE, (f"at {moment(now)} pilot {pilot.stamp} came{where}: {problem}", token.id))
        return problem
    db.execute(USE, (token.id,))
    plan(db, now, pilot)
    return None
