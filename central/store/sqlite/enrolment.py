"""How a pilot becomes known: the one-time secret traded for a session key, and the epoch raised after a restart."""

from __future__ import annotations

import sqlite3

from central.records import Ended, PilotRow
from central.store import codec
from central.store.admission import comes_again, expected, not_expected, not_known, same, second_key, secret_problem
from central.store.decide import left_behind
from central.store.sqlite import hosts, ledgers
from central.store.sqlite.attempts import end_all
from central.store.sqlite.enrolment_tokens import enrolment_of, shared
from central.store.sqlite.pilots import ONE, handed_over, move, pilot, row
from pilot.errors import Refusal
from pilot.protocol import EnrolRequest
from pilot.states import PilotState

ENROL = """
    UPDATE pilots
    SET key_hash = :key, instance = :instance, epoch = 1, sequence = 0, enrolled = :now, last_seen = :now,
        ends = :now + life
    WHERE id = :pilot
"""
FACTS = """
    INSERT INTO nodes (pilot, facts) VALUES (:pilot, :facts) ON CONFLICT (pilot) DO UPDATE SET facts = :facts
"""
SECRETS = "SELECT state, key_hash, secret_hash, secret_expires, old_secrets FROM pilots WHERE stamp = ?"
# The first alarm stays: it says when it began.
ALARM = "UPDATE pilots SET alarm = ? WHERE id = ? AND alarm = ''"
RESUME = """
    UPDATE pilots SET epoch = epoch + 1, sequence = 0, last_seen = max(coalesce(last_seen, 0), :now),
                      instance = CASE WHEN instance = '' THEN :instance ELSE instance END
    WHERE id = :pilot
"""


def expects(db: sqlite3.Connection, stamp: str, secret_hash: str, now: float) -> bool:
    known = db.execute(SECRETS, (stamp,)).fetchone()
    return expected(known, enrolment_of(db, secret_hash), stamp, secret_hash, now)


def enrol(
    db: sqlite3.Connection, now: float, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest
) -> PilotRow | Refusal:
    """The row, or the refusal as a value: the alarm that goes with one must be written."""
    known = db.execute(ONE, (stamp,)).fetchone()
    if known is None:
        return not_expected()
    if problem := secret_problem(known, stamp, secret_hash, now):
        return problem
    if known["key_hash"] is not None:
        return _again(db, now, known, key_hash, request)
    return _first(db, now, known, key_hash, request)


def _again(
    db: sqlite3.Connection, now: float, known: sqlite3.Row, key_hash: str, request: EnrolRequest
) -> PilotRow | Refusal:
    if same(key_hash, known["key_hash"]):  # the first answer was lost
        return pilot(db, known["stamp"])
    alarm, refusal = second_key(known["stamp"], request.instance, now)
    if not shared(db, known["secret_hash"]):  # else each of those who have it could stop all the others
        db.execute(ALARM, (alarm, known["id"]))
    return refusal


def _first(db: sqlite3.Connection, now: float, known: sqlite3.Row, key_hash: str, request: EnrolRequest) -> PilotRow:
    stamp: str = known["stamp"]
    move(db, handed_over(db, known), PilotState.RUNNING)
    if known["draining"]:  # somebody asked while it was on its way
        move(db, row(db, stamp), PilotState.DRAINING)
    db.execute(ENROL, {"pilot": known["id"], "key": key_hash, "instance": request.instance, "now": now})
    facts = codec.text(codec.merged_facts((), request.facts))
    db.execute(FACTS, {"pilot": known["id"], "facts": facts})
    hosts.name(db, stamp, codec.host(request.facts))
    return pilot(db, stamp)


def resume(
    db: sqlite3.Connection, now: float, stamp: str, key_hash: str, epoch: int, instance: str
) -> tuple[PilotRow, tuple[Ended, ...]]:
    known = db.execute(ONE, (stamp,)).fetchone()
    if known is None:
        raise not_known()
    if comes_again(known, stamp, key_hash, epoch, instance):
        return pilot(db, stamp), ()
    ended = end_all(db, now, known["id"], left_behind(None, "its pilot started anew"))
    if PilotState(known["state"]) is PilotState.SILENT:
        move(db, known, PilotState.DRAINING if known["draining"] else PilotState.RUNNING)
    ledgers.close(db, now, known, None)
    db.execute(RESUME, {"pilot": known["id"], "now": now, "instance": instance})
    return pilot(db, stamp), ended
