"""How a pilot becomes known: the one-time secret traded for a session key, and the epoch raised after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import Ended, PilotRow
from central.store import codec
from central.store.admission import comes_again, expected, not_expected, not_known, same, second_key, secret_problem
from central.store.decide import left_behind
from central.store.postgres import ledgers
from central.store.postgres.attempts import end_all
from central.store.postgres.connection import plain
from central.store.postgres.enrolment_tokens import enrolment_of, shared
from central.store.postgres.pilots import LOCKED, handed_over, move, pilot
from pilot.errors import Refusal
from pilot.protocol import EnrolRequest
from pilot.states import PilotState

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

ENROL = """
    UPDATE pilots
    SET key_hash = $2, instance = $3, host = $4, epoch = 1, sequence = 0, answered = '{}', enrolled = $5,
        last_seen = $5, ends = $5 + life
    WHERE id = $1
"""
FACTS = """
    INSERT INTO nodes (pilot, facts) VALUES ($1, $2) ON CONFLICT (pilot) DO UPDATE SET facts = excluded.facts
"""
SECRETS = "SELECT state, key_hash, secret_hash, secret_expires, old_secrets FROM pilots WHERE stamp = $1"
# The time is NULL for this server's.
TIME = "SELECT coalesce($1::double precision, extract(epoch FROM clock_timestamp())::double precision)"
# The first alarm stays: it says when it began.
ALARM = "UPDATE pilots SET alarm = $2 WHERE id = $1 AND alarm = ''"
RESUME = """
    UPDATE pilots
    SET epoch = epoch + 1, sequence = 0, answered = '{}', last_seen = greatest(last_seen, $2),
        instance = CASE WHEN instance = '' THEN $3 ELSE instance END
    WHERE id = $1
"""


async def expects(db: Database, stamp: str, secret_hash: str, now: float | None) -> bool:
    known = await db.fetchrow(SECRETS, stamp)
    token = await enrolment_of(db, secret_hash)
    return expected(known, token, stamp, secret_hash, await db.fetchval(TIME, now))


async def enrol(
    db: Database, now: float, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest
) -> PilotRow | Refusal:
    """The row, or the refusal as a value: the alarm that goes with one must be written."""
    known = await db.fetchrow(LOCKED, stamp)
    if known is None:
        return not_expected()
    if problem := secret_problem(known, stamp, secret_hash, now):
        return problem
    if known["key_hash"] is not None:
        return await _again(db, now, known, key_hash, request)
    return await _first(db, now, known, key_hash, request)


async def _again(db: Database, now: float, known: Row, key_hash: str, request: EnrolRequest) -> PilotRow | Refusal:
    if same(key_hash, known["key_hash"]):  # the first answer was lost
        return await pilot(db, known["stamp"])
    alarm, refusal = second_key(known["stamp"], plain(request.instance), now)
    if not await shared(db, known["secret_hash"]):  # else each of those who have it could stop all the others
        await db.execute(ALARM, known["id"], alarm)
    return refusal


async def _first(db: Database, now: float, known: Row, key_hash: str, request: EnrolRequest) -> PilotRow:
    drains = (PilotState.DRAINING,) if known["draining"] else ()  # somebody asked while it was on its way
    await move(db, known, *handed_over(known), PilotState.RUNNING, *drains)
    facts = codec.merged_facts((), request.facts)
    host = plain(codec.host(facts))
    await db.execute(ENROL, known["id"], key_hash, plain(request.instance), host, now)
    await db.execute(FACTS, known["id"], codec.text(facts))
    return await pilot(db, known["stamp"])


async def resume(
    db: Database, now: float, stamp: str, key_hash: str, epoch: int, instance: str
) -> tuple[PilotRow, tuple[Ended, ...]]:
    known = await db.fetchrow(LOCKED, stamp)
    if known is None:
        raise not_known()
    if comes_again(known, stamp, key_hash, epoch, instance):
        return await pilot(db, stamp), ()
    if PilotState(known["state"]) is PilotState.SILENT:
        await move(db, known, PilotState.DRAINING if known["draining"] else PilotState.RUNNING)
    await ledgers.close(db, now, known, None)
    await db.execute(RESUME, known["id"], now, instance)
    ended = await end_all(db, now, known["id"], left_behind(None, "its pilot started anew"))
    return await pilot(db, stamp), ended
