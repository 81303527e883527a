"""The journal of pilots: intents, submissions, ends, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.records import Ended, NewPilot, PilotRow
from central.store import codec
from central.store.admission import same
from central.store.decide import check_pilot, left_behind, unknown_pilot
from central.store.postgres import ledgers, prices
from central.store.postgres.attempts import end_all
from central.store.postgres.hosts import known_host
from central.store.postgres.leaders import leads
from central.store.rows import pilot_row
from central.store.selecting import before_cursor
from central.store.suspicion import suspicion
from pilot.errors import Refusal
from pilot.states import LIVE_PILOT, PilotReason, PilotState
from pilot.views import MachineLoad

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

ONE = "SELECT * FROM pilots_whole WHERE stamp = $1"
# What an attempt or an order refers to is its id, which never changes: so NO KEY.
LOCKED = "SELECT * FROM pilots WHERE stamp = $1 FOR NO KEY UPDATE"
SOME = "SELECT * FROM pilots_whole WHERE stamp = ANY ($1::text[])"
# Newest first: one short run over an index for each state (as in pages.py); an operator's community is NULL.
_IN_STATE = """
        SELECT id FROM pilots
        WHERE state = one.state AND -id > -$3::bigint
          AND CASE WHEN $2::text IS NULL OR communities::jsonb ? $2 THEN true END
        ORDER BY -id LIMIT $4
"""
_OF_QUEUE = """
        SELECT id FROM pilots
        WHERE queue = $5 AND state = one.state AND -id > -$3::bigint AND ($6::text IS NULL OR site = $6)
          AND CASE WHEN $2::text IS NULL OR communities::jsonb ? $2 THEN true END
        ORDER BY -id LIMIT $4
"""
_OF_SITE = """
        SELECT id FROM pilots
        WHERE site = $5 AND state = one.state AND -id > -$3::bigint
          AND CASE WHEN $2::text IS NULL OR communities::jsonb ? $2 THEN true END
        ORDER BY -id LIMIT $4
"""
_PAGE = """
    SELECT * FROM pilots_whole
    WHERE id = ANY (ARRAY(
        SELECT run.id FROM unnest($1::text[]) AS one(state) CROSS JOIN LATERAL ({run}) AS run
        ORDER BY run.id DESC LIMIT $4))
    ORDER BY id DESC
"""
IN_STATE, OF_QUEUE, OF_SITE = (_PAGE.format(run=run) for run in (_IN_STATE, _OF_QUEUE, _OF_SITE))
LIVE = """
    SELECT *, NULL AS offer, NULL AS facts FROM pilots
    WHERE queue = $1 AND state = ANY ($2::text[]) ORDER BY id DESC
"""
LIVE_QUEUES = "SELECT DISTINCT queue FROM pilots WHERE state = ANY ($1::text[]) ORDER BY queue"
PLAN = """
    INSERT INTO pilots (stamp, state, site, queue, communities, created, secret_hash, secret_expires, lease, life)
    VALUES ($1, 'planned', $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (stamp) DO NOTHING
    RETURNING true
"""
NEW_SECRET = """
    UPDATE pilots
    SET secret_hash = $2, secret_expires = $3, old_secrets = (old_secrets::jsonb || to_jsonb(secret_hash))::text
    WHERE id = $1
"""
SAME_SECRET = "UPDATE pilots SET secret_expires = $2 WHERE id = $1"
REFERENCE = "UPDATE pilots SET reference = $2 WHERE id = $1"
MOVE = "UPDATE pilots SET state = $2 WHERE id = $1"
END = "UPDATE pilots SET ended = $2, reason = $3, message = $4 WHERE id = $1"
# One that was bound counts from its first job. What it holds from before it was bound decides.
BIND = """
    UPDATE pilots SET bound = CASE WHEN bound <> '' AND leases > 0 THEN bound ELSE coalesce(
        (SELECT attempts.community FROM attempts
         WHERE attempts.pilot = pilots.id AND attempts.ended IS NULL ORDER BY attempts.job LIMIT 1), $2) END
    WHERE stamp = $1
    RETURNING bound
"""
LOADS = "SELECT loads FROM pilots JOIN nodes ON nodes.pilot = pilots.id WHERE stamp = $1"
COUNTS = "SELECT state, count(*) FROM pilots GROUP BY state"
COUNTS_OF = "SELECT queue, state, count(*) FROM pilots WHERE queue = ANY ($1::text[]) GROUP BY queue, state"

#: In these a submission may still be under way.
_BEFORE_SUBMITTED = frozenset({PilotState.PLANNED, PilotState.SUBMITTING})


async def locked(db: Database, stamp: str) -> Row:
    """The row, that nobody else changes until this transaction is over. Raises ``not-found``."""
    found = await db.fetchrow(LOCKED, stamp)
    if found is None:
        raise unknown_pilot(stamp)
    return found


async def move(db: Database, pilot: Row, *states: PilotState) -> None:
    """Change the state of a locked row to these, one after another; only as the table of states allows."""
    old = PilotState(pilot["state"])
    for new in states:
        check_pilot(pilot["stamp"], old, new)
        old = new
    if states:
        await db.execute(MOVE, pilot["id"], old)


def handed_over(pilot: Row) -> tuple[PilotState, ...]:
    """A planned pilot that turns up somewhere was being submitted, whatever the journal had time to say: the state
    that it has to pass through."""
    return (PilotState.SUBMITTING,) if PilotState(pilot["state"]) is PilotState.PLANNED else ()


async def plan(db: Database, now: float, pilot: NewPilot) -> None:
    values = (
        pilot.stamp,
        pilot.site,
        pilot.queue,
        codec.text(pilot.communities),
        now,
        pilot.secret_hash,
        now + pilot.secret_ttl,
        pilot.lease,
        pilot.end_of_life,
    )
    if await db.fetchval(PLAN, *values):
        await prices.keep(db, pilot.stamp, pilot.tariff)
        return
    known = await locked(db, pilot.stamp)
    if not same(pilot.secret_hash, known["secret_hash"]) or PilotState(known["state"]) is not PilotState.PLANNED:
        raise Refusal("conflict", f"There is a pilot {pilot.stamp} already: draw another stamp.")


async def submitting(db: Database, now: float, stamp: str, duty: str, epoch: int) -> bool:
    leading = await leads(db, now, duty, epoch)
    pilot = await locked(db, stamp)
    if not leading or PilotState(pilot["state"]) not in _BEFORE_SUBMITTED:
        return False
    await move(db, pilot, *handed_over(pilot))
    return True


async def renew_secret(db: Database, now: float, stamp: str, secret_hash: str, ttl: float) -> None:
    pilot = await locked(db, stamp)
    if pilot["enrolled"] is not None or PilotState(pilot["state"]) not in LIVE_PILOT:
        raise Refusal("conflict", f"Pilot {stamp} has enrolled or is over: its secret cannot be replaced.")
    if same(secret_hash, pilot["secret_hash"]):
        await db.execute(SAME_SECRET, pilot["id"], now + ttl)
    else:
        await db.execute(NEW_SECRET, pilot["id"], secret_hash, now + ttl)


async def submitted(db: Database, now: float, stamp: str, reference: str) -> None:
    pilot = await locked(db, stamp)
    under_way = PilotState(pilot["state"]) in _BEFORE_SUBMITTED
    if under_way:
        await move(db, pilot, *handed_over(pilot), PilotState.SUBMITTED)
    if not pilot["reference"] or under_way:
        await db.execute(REFERENCE, pilot["id"], reference)


async def end(
    db: Database, now: float, stamp: str, state: PilotState, reason: PilotReason, message: str
) -> tuple[Ended, ...]:
    pilot = await locked(db, stamp)
    if PilotState(pilot["state"]) not in LIVE_PILOT:
        return ()
    if state in LIVE_PILOT:
        raise Refusal("conflict", f"A pilot does not end as {state.value}.", expected="done, failed, lost, cancelled")
    await move(db, pilot, state)
    await db.execute(END, pilot["id"], now, reason, message)
    await ledgers.close(db, now, pilot, None)
    return await end_all(db, now, pilot["id"], left_behind(None, f"its pilot is {state.value}: {reason.value}"))


async def bind(db: Database, now: float, stamp: str, community: str) -> str:
    found: str | None = await db.fetchval(BIND, stamp, community)
    if found is None:
        raise unknown_pilot(stamp)
    return found


async def pilot(db: Database, stamp: str) -> PilotRow:
    found = await db.fetchrow(ONE, stamp)
    if found is None:
        raise unknown_pilot(stamp)
    return record(found)


async def find(db: Database, stamps: Sequence[str]) -> tuple[PilotRow, ...]:
    return tuple(record(found) for found in await db.fetch(SOME, list(stamps)))


async def pilots(
    db: Database,
    community: str | None,
    states: Sequence[PilotState],
    queue: str | None,
    site: str | None,
    cursor: str | None,
    limit: int,
) -> tuple[tuple[PilotRow, ...], str | None]:
    among = sorted(set(states or PilotState))
    values = (among, community, before_cursor(cursor), limit + 1)
    if queue is not None:
        rows = await db.fetch(OF_QUEUE, *values, queue, site)
    else:
        rows = await (db.fetch(IN_STATE, *values) if site is None else db.fetch(OF_SITE, *values, site))
    cursor = str(rows[limit - 1]["id"]) if len(rows) > limit else None
    return tuple(record(found) for found in rows[:limit]), cursor


async def live(db: Database, queue: str) -> tuple[PilotRow, ...]:
    return tuple(pilot_row(found, None) for found in await db.fetch(LIVE, queue, sorted(LIVE_PILOT)))


async def live_queues(db: Database) -> tuple[str, ...]:
    return tuple(found["queue"] for found in await db.fetch(LIVE_QUEUES, sorted(LIVE_PILOT)))


async def counts(db: Database) -> dict[str, int]:
    return {row["state"]: row["count"] for row in await db.fetch(COUNTS)}


async def counts_of(db: Database, queues: Sequence[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in await db.fetch(COUNTS_OF, list(queues)):
        found.setdefault(row["queue"], {})[row["state"]] = row["count"]
    return found


async def loads(db: Database, stamp: str) -> tuple[MachineLoad, ...]:
    return codec.loads(await db.fetchval(LOADS, stamp))


def record(row: Row) -> PilotRow:
    """A row of the view pilots_whole."""
    return pilot_row(row, suspicion(known_host(row), row["trials"]))
