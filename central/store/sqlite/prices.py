"""What the machines of pilots cost, and what their cores did for whom."""

from __future__ import annotations

import sqlite3

from central.records import Bought, Tariff
from central.store.bought import collected
from pilot.halting import MOST_PERIOD

KEEP = """
    INSERT INTO prices (pilot, hour, currency, period, machine)
    SELECT id, ?, ?, ?, ? FROM pilots WHERE stamp = ? ON CONFLICT DO NOTHING
"""
# Those that may have been paid in a time: what was never taken by a computing element costs nothing.
PAID = """
    WITH paid AS MATERIALIZED (
        SELECT pilots.id, stamp, site, queue, CASE WHEN machine THEN created ELSE enrolled END AS begun, ended,
               hour, currency, period, machine,
               CASE WHEN json_array_length(communities) = 1 THEN communities ->> 0 ELSE '' END AS community
        FROM pilots JOIN prices ON prices.pilot = pilots.id
        WHERE (ended > :since OR ended IS NULL) AND created < :until
          AND (enrolled IS NOT NULL OR machine AND reference <> '')
        ORDER BY pilots.id LIMIT :limit
    )
"""
PILOTS = "SELECT * FROM paid"
# By pilot and community: core-microseconds in all, and in payloads that succeeded.
BOOKED = """
    SELECT paid.id, CASE WHEN booking.value ->> 'community' <> '' THEN booking.value ->> 'community'
                         ELSE paid.community END AS whose,
           sum(booking.value ->> 'amount'),
           coalesce(sum(booking.value ->> 'amount') FILTER (WHERE booking.value ->> 'cause' = 'payload-good'), 0)
    FROM paid JOIN ledgers ON ledgers.pilot = paid.id CROSS JOIN json_each(ledgers.ledger, '$.bookings') AS booking
    GROUP BY paid.id, whose
"""
UNPRICED = """
    SELECT count(*) FROM pilots LEFT JOIN prices ON prices.pilot = pilots.id
    WHERE (ended > :since OR ended IS NULL) AND created < :until AND enrolled IS NOT NULL AND prices.pilot IS NULL
"""


def keep(db: sqlite3.Connection, stamp: str, tariff: Tariff | None) -> None:
    if tariff:
        db.execute(KEEP, (tariff.hour, tariff.currency, tariff.period, tariff.machine, stamp))


def bought(db: sqlite3.Connection, since: float, until: float, limit: int) -> tuple[Bought, ...]:
    # One that has ended may be paid for so long still.
    values = {"since": since - MOST_PERIOD, "until": until, "limit": limit}
    rows = db.execute(PAID + PILOTS, values).fetchall()
    return collected(rows, [tuple(row) for row in db.execute(PAID + BOOKED, values)])


def unpriced(db: sqlite3.Connection, since: float, until: float) -> int:
    count: int = db.execute(UNPRICED, {"since": since, "until": until}).fetchone()[0]
    return count
