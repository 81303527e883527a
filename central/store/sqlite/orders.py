"""Orders to pilots and to attempts: written, delivered until received, closed when done."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from central.records import OrderRow
from central.store import codec
from central.store.decide import unknown_pilot
from central.store.rows import order_row
from pilot.errors import Refusal
from pilot.protocol import Acknowledgement
from pilot.states import LIVE_PILOT, OrderVerb, PilotState

PILOT = "SELECT id, state, epoch FROM pilots WHERE stamp = ?"
OUT = "SELECT 1 FROM attempts WHERE pilot = ? AND job = ? AND attempt = ? AND phase <> 'ended'"
ADD = """
    INSERT INTO orders (pilot, epoch, verb, job, attempt, argument, reason, who, created)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
OPEN = "SELECT * FROM orders_to_deliver WHERE pilot_state IN (SELECT value FROM json_each(?)) ORDER BY id"
OPEN_FOR = "SELECT * FROM orders_to_deliver WHERE stamp = ? ORDER BY id"
RECEIVED = """
    UPDATE orders SET received = coalesce(received, :now)
    WHERE id = :order AND pilot = (SELECT id FROM pilots WHERE stamp = :stamp)
"""
# Done is received as well, should that word have been lost.
DONE = """
    UPDATE orders SET received = coalesce(received, :now), done = :now, result = :result
    WHERE id = :order AND pilot = (SELECT id FROM pilots WHERE stamp = :stamp) AND done IS NULL
"""


def order(
    db: sqlite3.Connection,
    now: float,
    stamp: str,
    verb: OrderVerb,
    *,
    who: str,
    job: int | None,
    attempt: int | None,
    argument: str,
    reason: str,
) -> int:
    pilot = db.execute(PILOT, (stamp,)).fetchone()
    if pilot is None:
        raise unknown_pilot(stamp)
    if PilotState(pilot["state"]) not in LIVE_PILOT:
        raise Refusal("conflict", f"Pilot {stamp} is {pilot['state']}: it takes no orders any more.")
    if job is not None and not db.execute(OUT, (pilot["id"], job, attempt)).fetchone():
        raise Refusal("conflict", f"Pilot {stamp} does not hold attempt {attempt} of job {job}.")
    epoch = max(pilot["epoch"], 1)  # one that has not enrolled yet will have the first
    values = (pilot["id"], epoch, verb, job, attempt, argument, reason, who, now)
    return int(db.execute(ADD, values).lastrowid or 0)


def open_orders(db: sqlite3.Connection) -> tuple[OrderRow, ...]:
    return tuple(order_row(row) for row in db.execute(OPEN, (codec.text(sorted(LIVE_PILOT)),)))


def orders(db: sqlite3.Connection, stamp: str) -> tuple[OrderRow, ...]:
    return tuple(order_row(row) for row in db.execute(OPEN_FOR, (stamp,)))


def acknowledge(db: sqlite3.Connection, now: float, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
    for word in acknowledgements:
        values = {"now": now, "stamp": stamp, "order": word.order, "result": word.result}
        db.execute(DONE if word.stage == "done" else RECEIVED, values)
