"""How a pilot becomes known: the one-time secret traded for a session key, and the epoch raised after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import Ended, PilotRow
from central.store import codec
from central.store.decide import left_behind
from central.store.postgres.attempts import end_all
from central.store.postgres.connection import plain
from central.store.postgres.pilots import LOCKED, handed_over, move, pilot
from pilot.errors import Refusal
from pilot.protocol import EnrolRequest
from pilot.states import ENROLLED, LIVE_PILOT, PilotState

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

ENROL = """
    UPDATE pilots
    SET key_hash = $2, instance = $3, host = $4, epoch = 1, sequence = 0, enrolled = $5, last_seen = $5,
        ends = $5 + life
    WHERE id = $1
"""
FACTS = """
    INSERT INTO nodes (pilot, facts) VALUES ($1, $2) ON CONFLICT (pilot) DO UPDATE SET facts = excluded.facts
"""
# The first alarm stays: it says when it began.
ALARM = "UPDATE pilots SET alarm = $2 WHERE id = $1 AND alarm = ''"
RESUME = """
    UPDATE pilots
    SET epoch = epoch + 1, sequence = 0, last_seen = greatest(last_seen, $2),
        instance = CASE WHEN instance = '' THEN $3 ELSE instance END
    WHERE id = $1
"""


async def enrol(
    db: Database, now: float, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest
) -> PilotRow | Refusal:
    """The row, or the refusal as a value: the alarm that goes with one must be written."""
    known = await db.fetchrow(LOCKED, stamp)
    if known is None:
        return Refusal("unauthorized", "No pilot is expected under this stamp with this secret.")
    if secret_hash in codec.texts(known["old_secrets"]):
        return Refusal("superseded", f"Pilot {stamp} was submitted again with a new secret.")
    if secret_hash != known["secret_hash"]:
        return Refusal("unauthorized", "No pilot is expected under this stamp with this secret.")
    if PilotState(known["state"]) not in LIVE_PILOT:
        return Refusal("revoked", f"Pilot {stamp} is {known['state']}: its secret has ended with it.")
    if known["key_hash"] is not None:
        return await _again(db, now, known, key_hash, request)
    if now > known["secret_expires"]:
        return Refusal(
            "secret-expired", f"The secret of pilot {stamp} is {now - known['secret_expires']:.0f} s too old."
        )
    return await _first(db, now, known, key_hash, request)


async def _again(db: Database, now: float, known: Row, key_hash: str, request: EnrolRequest) -> PilotRow | Refusal:
    if key_hash == known["key_hash"]:  # the first answer was lost
        return await pilot(db, known["stamp"])
    where = f" from instance {plain(request.instance)}" if request.instance else ""
    await db.execute(ALARM, known["id"], f"at {now:.0f} its secret came again with another session key{where}")
    return Refusal(
        "secret-used", f"Pilot {known['stamp']} has enrolled with another session key; the operator is told."
    )


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
    if known is None or known["key_hash"] != key_hash:
        raise Refusal("unauthorized", "No pilot is known under this stamp with this session key.")
    state = PilotState(known["state"])
    if state not in ENROLLED:
        raise Refusal("revoked", f"Pilot {stamp} is {state.value} and cannot come back.")
    if known["instance"] and instance and known["instance"] != instance:
        raise Refusal(
            "revoked",
            f"Pilot {stamp} belongs to another machine.",
            expected=f"instance {known['instance']}",
            got=f"instance {instance}",
        )
    if known["epoch"] == epoch + 1:  # the first answer was lost
        return await pilot(db, stamp), ()
    if known["epoch"] != epoch:
        raise Refusal(
            "superseded",
            f"Pilot {stamp} has gone on without you.",
            expected=f"epoch {known['epoch']}",
            got=f"epoch {epoch}",
        )
    if state is PilotState.SILENT:
        await move(db, known, PilotState.DRAINING if known["draining"] else PilotState.RUNNING)
    await db.execute(RESUME, known["id"], now, instance)
    ended = await end_all(db, now, known["id"], left_behind(None, "its pilot started anew"))
    return await pilot(db, stamp), ended
