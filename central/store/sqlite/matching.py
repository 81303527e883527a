"""The claim, and what a pilot holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from central.records import Claim, Leased, LiveAttempt, Pick
from central.store import codec
from central.store.sqlite import hosts, limits
from pilot.errors import Refusal
from pilot.states import LEASED, JobState, Phase, PilotState

#: The states in which a pilot may be given jobs; one that was silent speaks now.
_MAY_CLAIM = frozenset({PilotState.RUNNING, PilotState.SILENT})

PILOT = """
    SELECT id, state, draining, alarm, epoch, pilots.site, pilots.host, communities, hosts.suspected
    FROM pilots
    LEFT JOIN hosts ON hosts.site = pilots.site AND hosts.host = pilots.host
    WHERE stamp = ?
"""
# The first jobs of a queue become attempts of one pilot; only for a community that the pilot is for.
CLAIM = """
    UPDATE jobs SET state = 'matched', attempt = attempt + 1, changed = :now, reason = ''
    WHERE id IN (SELECT id FROM jobs WHERE queue = :queue AND state = 'waiting'
                 ORDER BY priority DESC, id LIMIT :count)
      AND +community IN (SELECT value FROM json_each(:communities))
    RETURNING id AS job, attempt, queue, priority, document, parameters, inputs, community, "group", owner
"""
LEASE = """
    INSERT INTO attempts (job, attempt, community, pilot, site, epoch, agent, request, cores, phase, started, limits)
    VALUES (:job, :attempt, :community, :pilot, :site, :epoch, :agent, :request, :cores, 'matched', :now, :limits)
"""
MATCHED = "INSERT INTO attempt_events (job, attempt, phase, time, message) VALUES (?, ?, 'matched', ?, '')"
# A claim is a word of the pilot: its leases count from now on.
HEARD = """
    UPDATE pilots SET leases = leases + :leases, last_seen = max(coalesce(last_seen, 0), :now), state = 'running'
    WHERE id = :pilot
"""
DOCUMENTS = "SELECT id, spec FROM documents WHERE id IN (SELECT value FROM json_each(?))"
# The jobs that a request number of the pilot's present epoch was given, with whether they are still out.
ANSWERED = """
    SELECT jobs.id AS job, attempts.attempt, jobs.queue, jobs.priority, jobs.document, jobs.parameters, jobs.inputs,
           jobs.community, jobs."group", jobs.owner, attempts.cores, jobs.state,
           attempts.phase <> 'ended' AND jobs.attempt = attempts.attempt AS out
    FROM pilots
    JOIN attempts ON attempts.pilot = pilots.id AND attempts.epoch = pilots.epoch
    JOIN jobs ON jobs.id = attempts.job
    WHERE pilots.stamp = ? AND attempts.agent = ? AND attempts.request = ?
    ORDER BY jobs.priority DESC, jobs.id
"""
HELD = "SELECT * FROM attempts_whole WHERE stamp = ? AND phase <> 'ended' ORDER BY job"
ATTEMPT = "SELECT * FROM attempts_whole WHERE job = ? AND attempt = ?"


@dataclass(frozen=True)
class _Won:
    """A job that was taken out of its queue."""

    row: sqlite3.Row
    cores: int
    limits: str | None  # JSON of the names that it counts against


def claim(db: sqlite3.Connection, now: float, stamp: str, agent: int, request: int, picks: Sequence[Pick]) -> Claim:
    before = answered(db, stamp, agent, request)
    if before is not None:
        return Claim(before)
    pilot = db.execute(PILOT, (stamp,)).fetchone()
    if reason := _barred(pilot):
        return Claim((), reason)
    wanted = most = sum(pick.count for pick in picks)
    if pilot["suspected"] is not None:
        most = hosts.allowed(db, now, pilot["site"], pilot["host"], wanted)
    counting = limits.counting(db, picks)
    won: list[_Won] = []
    for pick in picks:
        count = min(counting.allowed(pick), most - len(won))
        rows = _first_of(db, now, pilot, pick.queue, count)
        counting.took(pick, count, len(rows))
        names = limits.names_text(counting.known(pick.limits))
        won += (_Won(row, pick.cores, names) for row in rows)
    limits.keep(db, counting)
    _lease(db, now, pilot, agent, request, won)
    leases = _leased(db, [(one.row, one.cores) for one in won])
    return Claim(leases, "suspect" if most < wanted else None, counting.limited)


def _first_of(db: sqlite3.Connection, now: float, pilot: sqlite3.Row, queue: int, count: int) -> list[sqlite3.Row]:
    """Take up to so many jobs out of a queue, in their order."""
    if count <= 0:
        return []
    values = {"now": now, "queue": queue, "count": count, "communities": pilot["communities"]}
    return sorted(db.execute(CLAIM, values), key=lambda row: (-row["priority"], row["job"]))


def _barred(pilot: sqlite3.Row | None) -> str | None:
    """Why a pilot may not have any job."""
    if pilot is None or pilot["alarm"]:
        return "banned"
    state = PilotState(pilot["state"])
    if state is PilotState.DRAINING or (state in _MAY_CLAIM and pilot["draining"]):
        return "draining"
    return None if state in _MAY_CLAIM else "banned"


def _lease(
    db: sqlite3.Connection,
    now: float,
    pilot: sqlite3.Row,
    agent: int,
    request: int,
    won: Sequence[_Won],
) -> None:
    common = {
        "pilot": pilot["id"],
        "site": pilot["site"],
        "epoch": pilot["epoch"],
        "agent": agent,
        "request": request,
        "now": now,
    }
    attempts = [
        {
            **common,
            "job": one.row["job"],
            "attempt": one.row["attempt"],
            "community": one.row["community"],
            "cores": one.cores,
            "limits": one.limits,
        }
        for one in won
    ]
    db.executemany(LEASE, attempts)
    db.executemany(MATCHED, [(one.row["job"], one.row["attempt"], now) for one in won])
    db.execute(HEARD, {"pilot": pilot["id"], "leases": len(won), "now": now})


def answered(db: sqlite3.Connection, stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
    rows = db.execute(ANSWERED, (stamp, agent, request)).fetchall()
    if not rows:
        return None
    held = [(row, row["cores"]) for row in rows if row["out"] and JobState(row["state"]) in LEASED]
    return _leased(db, held)


def _leased(db: sqlite3.Connection, won: Sequence[tuple[sqlite3.Row, int]]) -> tuple[Leased, ...]:
    wanted = sorted({row["document"] for row, _ in won})
    documents = dict(db.execute(DOCUMENTS, (codec.text(wanted),)).fetchall()) if wanted else {}
    return tuple(
        Leased(
            job=row["job"],
            attempt=row["attempt"],
            queue=row["queue"],
            priority=row["priority"],
            cores=cores,
            spec=codec.filled(documents[row["document"]], row["parameters"], row["inputs"]),
            community=row["community"],
            group=row["group"],
            owner=row["owner"],
        )
        for row, cores in won
    )


def held(db: sqlite3.Connection, stamp: str) -> tuple[LiveAttempt, ...]:
    return tuple(_live(row) for row in db.execute(HELD, (stamp,)))


def live_attempt(db: sqlite3.Connection, job: int, attempt: int) -> LiveAttempt:
    row = db.execute(ATTEMPT, (job, attempt)).fetchone()
    if row is None or row["closed"] or row["current"] != attempt or JobState(row["job_state"]) not in LEASED:
        raise stale(job, attempt)
    return _live(row)


def stale(job: int, attempt: int) -> Refusal:
    return Refusal("stale-attempt", f"Attempt {attempt} of job {job} is over: another one may be running by now.")


def _live(row: sqlite3.Row) -> LiveAttempt:
    return LiveAttempt(
        job=row["job"],
        attempt=row["attempt"],
        stamp=row["stamp"],
        community=row["community"],
        phase=Phase(row["phase"]),
        request=row["request"],
        agent=row["agent"],
        cores=row["cores"],
    )
