"""The journal of pilots: intents, submissions, ends, and reading them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from heapq import merge
from itertools import islice

from central.records import Ended, NewPilot, PilotRow
from central.store import codec
from central.store.admission import same
from central.store.decide import check_pilot, left_behind, unknown_pilot
from central.store.rows import pilot_row
from central.store.selecting import before_cursor
from central.store.sqlite import hosts, ledgers, prices
from central.store.sqlite.attempts import end_all
from pilot.errors import Refusal
from pilot.states import LIVE_PILOT, PilotReason, PilotState
from pilot.views import MachineLoad

ONE = "SELECT * FROM pilots_whole WHERE stamp = ?"
SOME = "SELECT * FROM pilots_whole WHERE stamp IN (SELECT value FROM json_each(?))"
# Newest first, in one state; an operator's community is NULL.
IN_STATE = """
    SELECT * FROM pilots_whole
    WHERE state = :state AND id < :before
      AND (:community IS NULL OR :community IN (SELECT value FROM json_each(communities)))
    ORDER BY id DESC LIMIT :limit
"""
OF_QUEUE = """
    SELECT * FROM pilots_whole
    WHERE queue = :queue AND state = :state AND id < :before AND (:site IS NULL OR site = :site)
      AND (:community IS NULL OR :community IN (SELECT value FROM json_each(communities)))
    ORDER BY id DESC LIMIT :limit
"""
OF_SITE = """
    SELECT * FROM pilots_whole
    WHERE site = :site AND state = :state AND id < :before
      AND (:community IS NULL OR :community IN (SELECT value FROM json_each(communities)))
    ORDER BY id DESC LIMIT :limit
"""
LIVE = """
    SELECT *, NULL AS offer, NULL AS facts FROM pilots
    WHERE queue = ? AND state IN (SELECT value FROM json_each(?)) ORDER BY id DESC
"""
LIVE_QUEUES = """
    SELECT DISTINCT queue FROM pilots WHERE state IN (SELECT value FROM json_each(?)) ORDER BY queue
"""
PLAN = """
    INSERT INTO pilots (stamp, state, site, queue, communities, created, secret_hash, secret_expires, lease, life)
    VALUES (?, 'planned', ?, ?, ?, ?, ?, ?, ?, ?)
"""
LEADS = "SELECT 1 FROM leaders WHERE duty = ? AND epoch = ? AND until > ?"
NEW_SECRET = """
    UPDATE pilots
    SET secret_hash = :secret, secret_expires = :expires, old_secrets = json_insert(old_secrets, '$[#]', secret_hash)
    WHERE id = :pilot
"""
SAME_SECRET = "UPDATE pilots SET secret_expires = ? WHERE id = ?"
REFERENCE = "UPDATE pilots SET reference = ? WHERE id = ?"
MOVE = "UPDATE pilots SET state = ? WHERE id = ? AND state = ?"
END = "UPDATE pilots SET ended = ?, reason = ?, message = ? WHERE id = ?"
# One that was bound counts from its first job. What it holds from before it was bound decides.
BIND = """
    UPDATE pilots SET bound = coalesce(
        (SELECT attempts.community FROM attempts
         WHERE attempts.pilot = pilots.id AND attempts.phase <> 'ended' ORDER BY attempts.job LIMIT 1), ?)
    WHERE stamp = ? AND (bound = '' OR leases = 0)
"""
BOUND = "SELECT bound FROM pilots WHERE stamp = ?"
LOADS = "SELECT loads FROM pilots JOIN nodes ON nodes.pilot = pilots.id WHERE stamp = ?"
COUNTS = "SELECT state, count(*) FROM pilots GROUP BY state"
COUNTS_OF = """
    SELECT queue, state, count(*) FROM pilots
    WHERE queue IN (SELECT value FROM json_each(?)) GROUP BY queue, state
"""

#: In these a submission may still be under way.
_BEFORE_SUBMITTED = frozenset({PilotState.PLANNED, PilotState.SUBMITTING})


def row(db: sqlite3.Connection, stamp: str) -> sqlite3.Row:
    """The whole row. Raises ``not-found``."""
    found: sqlite3.Row | None = db.execute(ONE, (stamp,)).fetchone()
    if found is None:
        raise unknown_pilot(stamp)
    return found


def move(db: sqlite3.Connection, pilot: sqlite3.Row, new: PilotState) -> None:
    """Change the state, from the one in the row; only as the table of states allows."""
    old = PilotState(pilot["state"])
    check_pilot(pilot["stamp"], old, new)
    if db.execute(MOVE, (new, pilot["id"], old)).rowcount != 1:
        raise Refusal("conflict", f"Pilot {pilot['stamp']} is not {old.value} any more.")


def handed_over(db: sqlite3.Connection, pilot: sqlite3.Row) -> sqlite3.Row:
    """A planned pilot that turns up somewhere was being submitted, whatever the journal had time to say."""
    if PilotState(pilot["state"]) is not PilotState.PLANNED:
        return pilot
    move(db, pilot, PilotState.SUBMITTING)
    return row(db, pilot["stamp"])


def plan(db: sqlite3.Connection, now: float, pilot: NewPilot) -> None:
    known = db.execute(ONE, (pilot.stamp,)).fetchone()
    if known is not None:
        if same(pilot.secret_hash, known["secret_hash"]) and PilotState(known["state"]) is PilotState.PLANNED:
            return  # the same intent again
        raise Refusal("conflict", f"There is a pilot {pilot.stamp} already: draw another stamp.")
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
    db.execute(PLAN, values)
    prices.keep(db, pilot.stamp, pilot.tariff)


def submitting(db: sqlite3.Connection, now: float, stamp: str, duty: str, epoch: int) -> bool:
    pilot = row(db, stamp)
    if not db.execute(LEADS, (duty, epoch, now)).fetchone():
        return False
    if PilotState(pilot["state"]) not in _BEFORE_SUBMITTED:
        return False
    handed_over(db, pilot)
    return True


def renew_secret(db: sqlite3.Connection, now: float, stamp: str, secret_hash: str, ttl: float) -> None:
    pilot = row(db, stamp)
    if pilot["enrolled"] is not None or PilotState(pilot["state"]) not in LIVE_PILOT:
        raise Refusal("conflict", f"Pilot {stamp} has enrolled or is over: its secret cannot be replaced.")
    if same(secret_hash, pilot["secret_hash"]):
        db.execute(SAME_SECRET, (now + ttl, pilot["id"]))
    else:
        db.execute(NEW_SECRET, {"pilot": pilot["id"], "secret": secret_hash, "expires": now + ttl})


def submitted(db: sqlite3.Connection, now: float, stamp: str, reference: str) -> None:
    pilot = row(db, stamp)
    state = PilotState(pilot["state"])
    if state in _BEFORE_SUBMITTED:
        move(db, handed_over(db, pilot), PilotState.SUBMITTED)
    if not pilot["reference"] or state in _BEFORE_SUBMITTED:
        db.execute(REFERENCE, (reference, pilot["id"]))


def end(
    db: sqlite3.Connection, now: float, stamp: str, state: PilotState, reason: PilotReason, message: str
) -> tuple[Ended, ...]:
    pilot = row(db, stamp)
    if PilotState(pilot["state"]) not in LIVE_PILOT:
        return ()
    if state in LIVE_PILOT:
        raise Refusal("conflict", f"A pilot does not end as {state.value}.", expected="done, failed, lost, cancelled")
    move(db, pilot, state)
    db.execute(END, (now, reason, message, pilot["id"]))
    ledgers.close(db, now, pilot, None)
    return end_all(db, now, pilot["id"], left_behind(None, f"its pilot is {state.value}: {reason.value}"))


def bind(db: sqlite3.Connection, now: float, stamp: str, community: str) -> str:
    db.execute(BIND, (community, stamp))
    found = db.execute(BOUND, (stamp,)).fetchone()
    if found is None:
        raise unknown_pilot(stamp)
    bound: str = found["bound"]
    return bound


def pilot(db: sqlite3.Connection, stamp: str) -> PilotRow:
    return record(db, row(db, stamp))


def find(db: sqlite3.Connection, stamps: Sequence[str]) -> tuple[PilotRow, ...]:
    return tuple(record(db, found) for found in db.execute(SOME, (codec.text(list(stamps)),)))


def pilots(
    db: sqlite3.Connection,
    community: str | None,
    states: Sequence[PilotState],
    queue: str | None,
    site: str | None,
    cursor: str | None,
    limit: int,
) -> tuple[tuple[PilotRow, ...], str | None]:
    values = {"community": community, "queue": queue, "site": site, "before": before_cursor(cursor), "limit": limit + 1}
    statement = OF_QUEUE if queue is not None else IN_STATE if site is None else OF_SITE
    among = sorted(set(states or PilotState))
    runs = [db.execute(statement, {**values, "state": state}).fetchall() for state in among]
    rows = list(islice(merge(*runs, key=lambda found: found["id"], reverse=True), limit + 1))
    cursor = str(rows[limit - 1]["id"]) if len(rows) > limit else None
    return tuple(record(db, found) for found in rows[:limit]), cursor


def live(db: sqlite3.Connection, queue: str) -> tuple[PilotRow, ...]:
    return tuple(pilot_row(found, None) for found in db.execute(LIVE, (queue, codec.text(sorted(LIVE_PILOT)))))


def live_queues(db: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(name for (name,) in db.execute(LIVE_QUEUES, (codec.text(sorted(LIVE_PILOT)),)))


def counts(db: sqlite3.Connection) -> dict[str, int]:
    return dict(db.execute(COUNTS).fetchall())


def counts_of(db: sqlite3.Connection, queues: Sequence[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for queue, state, number in db.execute(COUNTS_OF, (codec.text(list(queues)),)):
        found.setdefault(queue, {})[state] = number
    return found


def loads(db: sqlite3.Connection, stamp: str) -> tuple[MachineLoad, ...]:
    found = db.execute(LOADS, (stamp,)).fetchone()
    return codec.loads(found["loads"]) if found else ()


def record(db: sqlite3.Connection, row: sqlite3.Row) -> PilotRow:
    """A row of the view pilots_whole, with what is held against its machine."""
    return pilot_row(row, hosts.held_against(db, row["site"], row["host"]))
