"""What the machines of pilots cost, and what their cores did for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.records import Bought, Tariff
from central.store.bought import collected
from pilot.halting import MOST_PERIOD

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

KEEP = """
    INSERT INTO prices (pilot, hour, currency, period, machine)
    SELECT id, $2, $3, $4, $5 FROM pilots WHERE stamp = $1 ON CONFLICT DO NOTHING
"""
# Those that may have been paid in a time: what was never taken by a computing element costs nothing.
PAID = """
    WITH paid AS MATERIALIZED (
        SELECT pilots.id, stamp, site, queue, CASE WHEN machine THEN created ELSE enrolled END AS begun, ended,
               hour, currency, period, machine,
               CASE WHEN json_array_length(communities::json) = 1 THEN communities::json ->> 0 ELSE '' END AS community
        FROM pilots JOIN prices ON prices.pilot = pilots.id
        WHERE (ended > $1::float8 OR ended IS NULL) AND created < $2::float8
          AND (enrolled IS NOT NULL OR machine AND reference <> '')
        ORDER BY pilots.id LIMIT $3
    )
"""
PILOTS = "SELECT * FROM paid"
# By pilot and community: core-microseconds in all, and in payloads that succeeded.
BOOKED = """
    SELECT paid.id, CASE WHEN booking.community <> '' THEN booking.community ELSE paid.community END AS whose,
           sum(booking.amount)::bigint,
           coalesce(sum(booking.amount) FILTER (WHERE booking.cause = 'payload-good'), 0)::bigint
    FROM paid JOIN ledgers ON ledgers.pilot = paid.id
    CROSS JOIN LATERAL json_to_recordset(ledgers.ledger::json -> 'bookings')
        AS booking (cause text, amount bigint, community text)
    GROUP BY paid.id, whose
"""
UNPRICED = """
    SELECT count(*) FROM pilots LEFT JOIN prices ON prices.pilot = pilots.id
    WHERE (ended > $1::float8 OR ended IS NULL) AND created < $2::float8 AND enrolled IS NOT NULL
      AND prices.pilot IS NULL
"""


async def keep(db: Database, stamp: str, tariff: Tariff | None) -> None:
    if tariff:
        await db.execute(KEEP, stamp, tariff.hour, tariff.currency, tariff.period, tariff.machine)


async def bought(db: Database, since: float, until: float, limit: int) -> tuple[Bought, ...]:
    values = (since - MOST_PERIOD, until, limit)  # one that has ended may be paid for so long still
    rows = await db.fetch(PAID + PILOTS, *values)
    return collected(rows, [tuple(row) for row in await db.fetch(PAID + BOOKED, *values)])


async def unpriced(db: Database, since: float, until: float) -> int:
    count: int = await db.fetchval(UNPRICED, since, until)
    return count
