"""The life of an enrolled pilot: heard, silent, draining, gone; and the steps of its pipeline."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from central.records import Beat, Ended, Swept
from central.store import codec
from central.store.decide import end_of, left_behind, lost
from central.store.loads import sampled
from central.store.sqlite import hosts, ledgers
from central.store.sqlite.attempts import end_all
from central.store.sqlite.pilots import END, move, row
from pilot.protocol import GoodbyeRequest, StepReport
from pilot.states import ENROLLED, LIVE_PILOT, PilotState
from pilot.views import StepView

# Without the state, which is in indexes that would be rewritten: nearly always it stays.
HEARD = """
    UPDATE pilots
    SET last_seen = max(coalesce(last_seen, 0), ?),
        sequence = CASE WHEN coalesce(?, epoch) = epoch THEN max(sequence, coalesce(?, 0)) ELSE sequence END
    WHERE stamp = ? AND state IN ('running', 'draining', 'silent')
"""
# Only news brings a silent pilot back: a beat may have lain in its batch while the sweep ran.
BACK_AGAIN = """
    UPDATE pilots SET state = CASE WHEN draining THEN 'draining' ELSE 'running' END
    WHERE state = 'silent' AND stamp = ? AND ? > coalesce(last_seen, 0)
"""
SILENT = """
    SELECT stamp FROM json_each(?) CROSS JOIN pilots ON pilots.stamp = value WHERE state = 'silent'
"""
OFFER = """
    INSERT INTO nodes (pilot, offer) SELECT id, :offer FROM pilots WHERE stamp = :stamp
    ON CONFLICT (pilot) DO UPDATE SET offer = :offer
"""
FACTS = "SELECT id, facts, loads FROM pilots LEFT JOIN nodes ON nodes.pilot = pilots.id WHERE stamp = ?"
KEEP_FACTS = """
    INSERT INTO nodes (pilot, facts, loads) VALUES (:pilot, :facts, :loads)
    ON CONFLICT (pilot) DO UPDATE SET facts = :facts, loads = :loads
"""
USAGE = """
    UPDATE attempts SET usage = :usage
    WHERE job = :job AND attempt = :attempt AND phase <> 'ended'
      AND pilot = (SELECT id FROM pilots WHERE stamp = :stamp)
"""
SILENCE = """
    UPDATE pilots SET state = 'silent'
    WHERE state IN ('running', 'draining') AND max(coalesce(last_seen, 0), coalesce(enrolled, 0)) < ?
    RETURNING stamp
"""
# Those whose leases have run out, if they hold any.
PAST_LEASE = """
    SELECT id, lease FROM pilots
    WHERE state IN ('running', 'silent', 'draining')
      AND max(coalesce(last_seen, 0), coalesce(enrolled, 0)) + lease < ?
      AND EXISTS (SELECT 1 FROM attempts WHERE attempts.pilot = pilots.id AND attempts.phase <> 'ended')
"""
DRAINS = "UPDATE pilots SET draining = 1 WHERE id = ?"
LAST_WORDS = "UPDATE pilots SET exit_code = ?, last_seen = max(coalesce(last_seen, 0), ?) WHERE id = ?"
# A late word that a step has begun does not undo the word on its end.
STEP = """
    INSERT INTO steps (pilot, number, command, outcome, seconds, message, tail, began)
    VALUES (:pilot, :number, :command, :outcome, :seconds, :message, :tail, :began)
    ON CONFLICT (pilot, number) DO UPDATE
    SET command = :command, outcome = :outcome, seconds = :seconds, message = :message, tail = :tail,
        began = coalesce(:began, began)
    WHERE :outcome IS NOT NULL OR steps.outcome IS NULL
"""
STEPS = """
    SELECT number, command, outcome, seconds, message, tail, began
    FROM steps WHERE pilot = (SELECT id FROM pilots WHERE stamp = ?) ORDER BY number
"""


def beat(db: sqlite3.Connection, now: float, beats: Sequence[Beat]) -> None:
    silent = {row[0] for row in db.execute(SILENT, (codec.text([one.stamp for one in beats]),))}
    db.executemany(BACK_AGAIN, [(one.stamp, one.seen) for one in beats if one.stamp in silent])
    db.executemany(HEARD, [(one.seen, one.epoch, one.sequence, one.stamp) for one in beats])
    offers = [{"stamp": one.stamp, "offer": codec.text(one.offer)} for one in beats if one.offer is not None]
    db.executemany(OFFER, offers)
    usage = [
        {"stamp": one.stamp, "job": job, "attempt": attempt, "usage": codec.text(usage)}
        for one in beats
        for (job, attempt), usage in one.usage.items()
    ]
    db.executemany(USAGE, usage)
    ledgers.keep_told(db, beats)
    for one in beats:
        if one.facts and (known := db.execute(FACTS, (one.stamp,)).fetchone()):
            facts = codec.merged_facts(codec.facts(known["facts"]), one.facts)
            history = sampled(codec.loads(known["loads"]), one.facts, one.seen)
            row = {"pilot": known["id"], "facts": codec.text(facts), "loads": codec.text(history)}
            db.execute(KEEP_FACTS, row)
            hosts.name(db, one.stamp, codec.host(one.facts))


def sweep(db: sqlite3.Connection, now: float, silent_after: float) -> Swept:
    silent = tuple(found["stamp"] for found in db.execute(SILENCE, (now - silent_after,)).fetchall())
    ended: list[Ended] = []
    for found in db.execute(PAST_LEASE, (now,)).fetchall():
        ended += end_all(db, now, found["id"], lost(found["lease"]))
    return Swept(silent, tuple(ended))


def drain(db: sqlite3.Connection, now: float, stamp: str) -> None:
    pilot = row(db, stamp)
    state = PilotState(pilot["state"])
    if state not in LIVE_PILOT:
        return
    db.execute(DRAINS, (pilot["id"],))  # a pilot on its way will drain as soon as it has enrolled
    if state in ENROLLED and state is not PilotState.DRAINING:
        move(db, pilot, PilotState.DRAINING)


def goodbye(db: sqlite3.Connection, now: float, stamp: str, request: GoodbyeRequest) -> tuple[Ended, ...]:
    pilot = row(db, stamp)
    if PilotState(pilot["state"]) not in LIVE_PILOT:
        return ()
    move(db, pilot, end_of(request.reason))
    db.execute(END, (now, request.reason, request.message, pilot["id"]))
    db.execute(LAST_WORDS, (request.exit_code, now, pilot["id"]))
    ledgers.close(db, now, pilot, request.ledger if request.ledger.lifetime else None)
    return end_all(db, now, pilot["id"], left_behind(request.reason, f"its pilot ended: {request.reason.value}"))


def step(db: sqlite3.Connection, now: float, stamp: str, step: StepReport) -> None:
    values = {
        "pilot": row(db, stamp)["id"],
        "number": step.number,
        "command": step.command,
        "outcome": step.outcome,
        "seconds": step.seconds,
        "message": step.message,
        "tail": step.tail,
        "began": step.began,
    }
    db.execute(STEP, values)


def steps(db: sqlite3.Connection, stamp: str) -> tuple[StepView, ...]:
    return tuple(StepView(*found) for found in db.execute(STEPS, (stamp,)))
