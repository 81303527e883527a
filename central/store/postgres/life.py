"""The end of an enrolled pilot's life, draining and goodbye, and the steps of its pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import Ended
from central.store.decide import end_of, left_behind, unknown_pilot
from central.store.postgres import ledgers
from central.store.postgres.attempts import end_all
from central.store.postgres.connection import plain
from central.store.postgres.pilots import locked, move
from pilot.protocol import GoodbyeRequest, StepReport
from pilot.states import ENROLLED, LIVE_PILOT, PilotState
from pilot.views import StepView

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

DRAINS = "UPDATE pilots SET draining = true WHERE id = $1"
LAST_WORDS = """
    UPDATE pilots
    SET ended = $2, reason = $3, message = $4, exit_code = $5,
        last_seen = greatest(last_seen, $2)
    WHERE id = $1
"""
PILOT = "SELECT id FROM pilots WHERE stamp = $1"
# A late word that a step has begun does not undo the word on its end.
STEP = """
    INSERT INTO steps (pilot, number, command, outcome, seconds, message, tail, began)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (pilot, number) DO UPDATE
    SET command = excluded.command, outcome = excluded.outcome, seconds = excluded.seconds,
        message = excluded.message, tail = excluded.tail,
        began = coalesce(excluded.began, steps.began)
    WHERE excluded.outcome IS NOT NULL OR steps.outcome IS NULL
"""
STEPS = """
    SELECT number, command, outcome, seconds, message, tail, began
    FROM steps WHERE pilot = (SELECT id FROM pilots WHERE stamp = $1) ORDER BY number
"""


async def drain(db: Database, now: float, stamp: str) -> None:
    pilot = await locked(db, stamp)
    state = PilotState(pilot["state"])
    if state not in LIVE_PILOT:
        return
    await db.execute(DRAINS, pilot["id"])  # a pilot on its way will drain as soon as it has enrolled
    if state in ENROLLED and state is not PilotState.DRAINING:
        await move(db, pilot, PilotState.DRAINING)


async def goodbye(db: Database, now: float, stamp: str, request: GoodbyeRequest) -> tuple[Ended, ...]:
    pilot = await locked(db, stamp)
    if PilotState(pilot["state"]) not in LIVE_PILOT:
        return ()
    await move(db, pilot, end_of(request.reason))
    words = (now, request.reason, plain(request.message), request.exit_code)
    await db.execute(LAST_WORDS, pilot["id"], *words)
    await ledgers.close(db, now, pilot, request.ledger if request.ledger.lifetime else None)
    return await end_all(db, now, pilot["id"], left_behind(request.reason, f"its pilot ended: {request.reason.value}"))


async def step(db: Database, now: float, stamp: str, step: StepReport) -> None:
    pilot = await db.fetchval(PILOT, stamp)
    if pilot is None:
        raise unknown_pilot(stamp)
    words = (plain(step.command), step.outcome, step.seconds, plain(step.message), plain(step.tail), step.began)
    await db.execute(STEP, pilot, step.number, *words)


async def steps(db: Database, stamp: str) -> tuple[StepView, ...]:
    return tuple(StepView(*found) for found in await db.fetch(STEPS, stamp))
