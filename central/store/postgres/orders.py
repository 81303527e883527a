"""Orders to pilots and to attempts: written, delivered until received, closed when done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.records import OrderRow
from central.store.decide import unknown_pilot
from central.store.postgres.connection import plain
from central.store.rows import order_row
from pilot.errors import Refusal
from pilot.protocol import Acknowledgement
from pilot.states import LIVE_PILOT, OrderVerb, PilotState

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# Locked, so that the pilot neither ends nor starts anew before the order is written.
PILOT = "SELECT id, state, epoch FROM pilots WHERE stamp = $1 FOR SHARE"
OUT = "SELECT true FROM attempts WHERE pilot = $1 AND job = $2 AND attempt = $3 AND ended IS NULL"
ADD = """
    INSERT INTO orders (pilot, epoch, verb, job, attempt, argument, reason, who, created)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    RETURNING id
"""
OPEN = "SELECT * FROM orders_to_deliver WHERE pilot_state = ANY ($1::text[]) ORDER BY id"
OPEN_FOR = """
    SELECT * FROM orders_to_deliver WHERE pilot = (SELECT id FROM pilots WHERE stamp = $1) ORDER BY id
"""
# Done is received as well, should that word have been lost. The first word that it is done stays.
ACKNOWLEDGE = """
    WITH words AS (
        SELECT orders.id, word.over, word.result
        FROM unnest($3::bigint[], $4::boolean[], $5::text[]) AS word(id, over, result)
        JOIN orders ON orders.id = word.id AND orders.pilot = (SELECT id FROM pilots WHERE stamp = $2)
        ORDER BY orders.id
        FOR UPDATE OF orders
    )
    UPDATE orders
    SET received = coalesce(received, $1),
        done = CASE WHEN words.over THEN $1 END,
        result = CASE WHEN words.over THEN words.result ELSE orders.result END
    FROM words
    WHERE orders.id = words.id AND orders.done IS NULL
"""


async def order(
    db: Database,
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
    pilot = await db.fetchrow(PILOT, stamp)
    if pilot is None:
        raise unknown_pilot(stamp)
    if PilotState(pilot["state"]) not in LIVE_PILOT:
        raise Refusal("conflict", f"Pilot {stamp} is {pilot['state']}: it takes no orders any more.")
    if job is not None and not await db.fetchval(OUT, pilot["id"], job, attempt):
        raise Refusal("conflict", f"Pilot {stamp} does not hold attempt {attempt} of job {job}.")
    epoch = max(pilot["epoch"], 1)  # one that has not enrolled yet will have the first
    return int(await db.fetchval(ADD, pilot["id"], epoch, verb, job, attempt, argument, reason, who, now))


async def open_orders(db: Database) -> tuple[OrderRow, ...]:
    return tuple(order_row(row) for row in await db.fetch(OPEN, sorted(LIVE_PILOT)))


async def orders(db: Database, stamp: str) -> tuple[OrderRow, ...]:
    return tuple(order_row(row) for row in await db.fetch(OPEN_FOR, stamp))


async def acknowledge(db: Database, now: float, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
    words: dict[int, Acknowledgement] = {}
    for word in acknowledgements:
        known = words.get(word.order)
        if known is None or (known.stage != "done" and word.stage == "done"):
            words[word.order] = word
    over = [word.stage == "done" for word in words.values()]
    results = [plain(word.result) for word in words.values()]
    await db.execute(ACKNOWLEDGE, now, stamp, list(words), over, results)
