"""Ledgers of pilots: the newest of each epoch, completed when a pilot can say no more, and their sums."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from central.records import Beat
from central.store import codec
from central.store.wasted import check_keys, gathered
from pilot.ledger import completed
from pilot.protocol import Ledger
from pilot.use import WasteRow

KEEP = """
    INSERT INTO ledgers (pilot, epoch, told, lifetime, final, ledger)
    SELECT id, epoch, :told, :lifetime, :final, :ledger FROM pilots
    WHERE stamp = :stamp AND epoch = coalesce(:epoch, epoch) AND (:final OR ended IS NULL)
    ON CONFLICT (pilot, epoch) DO UPDATE
    SET told = :told, lifetime = :lifetime, final = :final, ledger = :ledger
    WHERE NOT ledgers.final AND (:final OR ledgers.lifetime <= :lifetime)
"""
OPEN = "SELECT epoch, told, ledger FROM ledgers WHERE pilot = ? AND NOT final"
COMPLETE = "UPDATE ledgers SET final = 1, lifetime = ?, ledger = ? WHERE pilot = ? AND epoch = ?"
# What is of no community's attempt is of the community that a pilot is bound to, and of nobody where it is of several.
BOOKED = """
    WITH booked AS MATERIALIZED (
        SELECT pilots.id, stamp AS pilot, site, queue, booking.value ->> 'cause' AS cause,
               booking.value ->> 'amount' AS amount,
               CASE WHEN booking.value ->> 'community' <> '' THEN booking.value ->> 'community'
                    WHEN json_array_length(communities) = 1 THEN communities ->> 0
                    ELSE '' END AS community
        FROM pilots
        JOIN ledgers ON ledgers.pilot = pilots.id
        CROSS JOIN json_each(ledgers.ledger, '$.bookings') AS booking
        WHERE pilots.ended >= :since AND pilots.ended < coalesce(:until, 1e18)
           OR pilots.ended IS NULL AND :until IS NULL
    )
"""
SUMS = """
    SELECT {keys}, cause, sum(amount) FROM booked
    WHERE (:community IS NULL OR community = :community) AND (:site IS NULL OR site = :site)
    GROUP BY {keys}, cause
    UNION ALL
    SELECT {keys}, NULL, count(DISTINCT id) FROM booked
    WHERE (:community IS NULL OR community = :community) AND (:site IS NULL OR site = :site)
    GROUP BY {keys}
"""


def keep_told(db: sqlite3.Connection, beats: Sequence[Beat]) -> None:
    """What heartbeats said."""
    rows = [_row(one.stamp, one.epoch, one.seen, one.ledger, False) for one in beats if one.ledger is not None]
    if rows:
        db.executemany(KEEP, rows)


def close(db: sqlite3.Connection, now: float, pilot: sqlite3.Row, last: Ledger | None) -> None:
    """The pilot ends, or begins a new epoch. `last`: the ledger of this epoch, when it could still say it."""
    if last is not None:
        db.execute(KEEP, _row(pilot["stamp"], None, now, last, True))
    for row in db.execute(OPEN, (pilot["id"],)).fetchall():
        whole = completed(codec.ledger(row["ledger"]), int((now - row["told"]) * 1_000_000))
        db.execute(COMPLETE, (whole.lifetime, codec.text(whole), pilot["id"], row["epoch"]))


def waste(
    db: sqlite3.Connection,
    community: str | None,
    by: Sequence[str],
    since: float,
    until: float | None,
    site: str | None,
) -> tuple[WasteRow, ...]:
    check_keys(by)
    keys = ", ".join(by) or "''"
    values = {"community": community, "since": since, "until": until, "site": site}
    return gathered(len(by), [tuple(row) for row in db.execute(BOOKED + SUMS.format(keys=keys), values)])


def _row(stamp: str, epoch: int | None, told: float, ledger: Ledger, final: bool) -> dict[str, object]:
    return {
        "stamp": stamp,
        "epoch": epoch,
        "told": told,
        "lifetime": ledger.lifetime,
        "final": final,
        "ledger": codec.text(ledger),
    }
