"""Ledgers of pilots: the newest of each epoch, completed when a pilot can say no more, and their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from central.records import Beat
from central.store import codec
from central.store.postgres.connection import plain
from central.store.wasted import check_keys, gathered
from pilot.ledger import completed
from pilot.protocol import Ledger
from pilot.use import WasteRow

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

# Of pilots that are locked, in the epoch that they are in.
KEEP = """
    INSERT INTO ledgers (pilot, epoch, told, lifetime, final, ledger)
    SELECT pilots.id, pilots.epoch, said.told, said.lifetime, $6, said.ledger
    FROM unnest($1::bigint[], $2::int[], $3::float8[], $4::bigint[], $5::text[])
         AS said (pilot, epoch, told, lifetime, ledger)
    JOIN pilots ON pilots.id = said.pilot AND pilots.epoch = coalesce(said.epoch, pilots.epoch)
    WHERE $6::boolean OR pilots.ended IS NULL
    ON CONFLICT (pilot, epoch) DO UPDATE
    SET told = excluded.told, lifetime = excluded.lifetime, final = excluded.final, ledger = excluded.ledger
    WHERE NOT ledgers.final AND (excluded.final OR ledgers.lifetime <= excluded.lifetime)
"""
OPEN = "SELECT epoch, told, ledger FROM ledgers WHERE pilot = $1 AND NOT final"
COMPLETE = "UPDATE ledgers SET final = true, lifetime = $3, ledger = $4 WHERE pilot = $1 AND epoch = $2"
# What is of no community's attempt is of the community that a pilot is bound to, and of nobody where it is of several.
BOOKED = """
    WITH booked AS (
        SELECT pilots.id, stamp AS pilot, site, queue, booking.cause, booking.amount,
               CASE WHEN booking.community <> '' THEN booking.community
                    WHEN json_array_length(communities::json) = 1 THEN communities::json ->> 0
                    ELSE '' END AS community
        FROM pilots
        JOIN ledgers ON ledgers.pilot = pilots.id
        CROSS JOIN LATERAL json_to_recordset(ledgers.ledger::json -> 'bookings')
            AS booking (cause text, amount bigint, community text)
        WHERE pilots.ended >= $2::float8 AND pilots.ended < coalesce($3::float8, 'infinity')
           OR pilots.ended IS NULL AND $3::float8 IS NULL
    )
"""
SUMS = """
    SELECT {keys}, cause, sum(amount)::bigint FROM booked
    WHERE ($1::text IS NULL OR community = $1) AND ($4::text IS NULL OR site = $4)
    GROUP BY {keys}, cause
    UNION ALL
    SELECT {keys}, NULL, count(DISTINCT id) FROM booked
    WHERE ($1::text IS NULL OR community = $1) AND ($4::text IS NULL OR site = $4)
    GROUP BY {keys}
"""


async def keep_told(db: Database, known: Mapping[str, int], beats: Sequence[Beat]) -> None:
    """What heartbeats said. `known`: ids by stamp."""
    newest: dict[tuple[int, int | None], tuple[float, Ledger]] = {}
    for beat in beats:
        if beat.ledger is not None and beat.stamp in known:
            key = (known[beat.stamp], beat.epoch)
            if key not in newest or newest[key][1].lifetime <= beat.ledger.lifetime:
                newest[key] = (beat.seen, beat.ledger)
    if newest:
        keys = sorted(newest, key=lambda key: (key[0], key[1] or 0))
        await _keep(db, keys, [newest[key] for key in keys], final=False)


async def close(db: Database, now: float, pilot: Row, last: Ledger | None) -> None:
    """The pilot, whose row is locked, ends or begins a new epoch. `last`: the ledger of this epoch, when it could
    still say it."""
    if last is not None:
        await _keep(db, [(pilot["id"], None)], [(now, last)], final=True)
    for row in await db.fetch(OPEN, pilot["id"]):
        whole = completed(codec.ledger(row["ledger"]), int((now - row["told"]) * 1_000_000))
        await db.execute(COMPLETE, pilot["id"], row["epoch"], whole.lifetime, codec.text(whole))


async def waste(
    db: Database, community: str | None, *, by: Sequence[str], since: float, until: float | None, site: str | None
) -> tuple[WasteRow, ...]:
    check_keys(by)
    keys = ", ".join(by) or "''::text"
    rows = await db.fetch(BOOKED + SUMS.format(keys=keys), community, since, until, site)
    return gathered(len(by), [tuple(row) for row in rows])


async def _keep(
    db: Database, keys: Sequence[tuple[int, int | None]], told: Sequence[tuple[float, Ledger]], *, final: bool
) -> None:
    await db.execute(
        KEEP,
        [pilot for pilot, _ in keys],
        [epoch for _, epoch in keys],
        [when for when, _ in told],
        [ledger.lifetime for _, ledger in told],
        [codec.text(_legible(ledger)) for _, ledger in told],
        final,
    )


def _legible(ledger: Ledger) -> Ledger:
    """As it can be summed up: of JSON with a NUL PostgreSQL takes no text."""
    return replace(ledger, bookings=tuple(replace(one, community=plain(one.community)) for one in ledger.bookings))
