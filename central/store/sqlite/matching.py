"""The claim, and what a pilot holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from central.records import Leased, LiveAttempt, Pick
from central.store import codec
from central.store.decide import stale
from central.store.sqlite import checkpoints, documents, hosts, limits
from central.store.sqlite.documents import Templates
from pilot.protocol import JobSpec
from pilot.states import LEASED, JobState, Phase, PilotState

#: The states in which a pilot may be given jobs; one that was silent speaks now.
_MAY_CLAIM = frozenset({PilotState.RUNNING.value, PilotState.SILENT.value})

# Who asks, and whether this request of its present epoch, or a later one of the agent, was given jobs before.
PILOT = """
    SELECT id, state, draining, alarm, epoch, pilots.site, pilots.host, communities, bound, hosts.suspected,
           EXISTS (SELECT 1 FROM attempts
                   WHERE attempts.pilot = pilots.id AND attempts.epoch = pilots.epoch AND agent = ? AND request >= ?)
    FROM pilots
    LEFT JOIN hosts ON hosts.site = pilots.site AND hosts.host = pilots.host
    WHERE stamp = ?
"""
# The first jobs of a queue. Nobody but the writer takes any, so that what it reads it may take: a third of the time of
# doing both in one statement.
_WAIT = """
    SELECT id, attempt + 1, queue, priority, document, parameters, inputs, community, "group", owner
    FROM jobs WHERE queue = ? AND state = 'waiting'
"""
FIRST = f"{_WAIT} ORDER BY priority DESC, id LIMIT ?"
# Those with which a machine that is suspect may be tried: that have not failed on it.
NEW = f"{_WAIT} AND {hosts.NEW_THERE} ORDER BY priority DESC, id LIMIT ?"
# Those that name none of some credentials: seldom asked for, and as slow as the queue is long.
WITHOUT = f"""
    {_WAIT} AND document NOT IN (
        SELECT documents.id FROM documents, json_each(documents.spec, '$.credentials') AS name
        WHERE name.value IN (SELECT value FROM json_each(?))
          AND documents.id IN (SELECT document FROM jobs WHERE queue = ? AND state = 'waiting'))
    ORDER BY priority DESC, id LIMIT ?
"""  # noqa: S608 - a constant
TAKE = "UPDATE jobs SET state = 'matched', attempt = attempt + 1, changed = ?, reason = '' WHERE id = ?"
TAKE_ALL = """
    UPDATE jobs SET state = 'matched', attempt = attempt + 1, changed = ?, reason = ''
    WHERE id IN (SELECT value FROM json_each(?))
"""
_COLUMNS = "(job, attempt, community, cores, limits, pilot, site, epoch, agent, request, started, phase)"
LEASE = f"INSERT INTO attempts {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'matched')"  # noqa: S608 - constants
# All at once, out of a JSON array of [job, attempt, community, cores, limits].
LEASES = f"""
    INSERT INTO attempts {_COLUMNS}
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, ?, ?, ?, ?, ?, ?, 'matched'
    FROM json_each(?)
"""  # noqa: S608 - a constant
# A claim is a word of the pilot: its leases count from now on.
HEARD = "UPDATE pilots SET leases = leases + ?, last_seen = max(coalesce(last_seen, 0), ?) WHERE id = ?"
# In a statement of its own: the state is in indexes, which are rewritten when it is set, to the same as well.
BACK_AGAIN = "UPDATE pilots SET state = 'running' WHERE id = ?"
# The jobs that a request number of the pilot's present epoch was given, with whether they are still out.
ANSWERED = """
    SELECT jobs.id, attempts.attempt, jobs.queue, jobs.priority, jobs.document, jobs.parameters, jobs.inputs,
           jobs.community, jobs."group", jobs.owner, attempts.cores, jobs.state,
           attempts.phase <> 'ended' AND jobs.attempt = attempts.attempt
    FROM pilots
    JOIN attempts ON attempts.pilot = pilots.id AND attempts.epoch = pilots.epoch
    JOIN jobs ON jobs.id = attempts.job
    WHERE pilots.stamp = ? AND attempts.agent = ? AND attempts.request = ?
    ORDER BY jobs.priority DESC, jobs.id
"""
# Whether a later request of the agent was given any.
LATER = """
    SELECT 1 FROM pilots JOIN attempts ON attempts.pilot = pilots.id AND attempts.epoch = pilots.epoch
    WHERE pilots.stamp = ? AND attempts.agent = ? AND attempts.request > ? LIMIT 1
"""
_LIVE = """
    SELECT attempts.job, attempts.attempt, pilots.stamp, attempts.community, attempts.phase, attempts.request,
           attempts.agent, attempts.cores
    FROM attempts JOIN pilots ON pilots.id = attempts.pilot
"""
HELD = f"{_LIVE} WHERE pilots.stamp = ? AND attempts.phase <> 'ended'"
LIVE_ATTEMPT = f"""
    {_LIVE} JOIN jobs ON jobs.id = attempts.job
    WHERE attempts.job = ? AND attempts.attempt = ? AND attempts.phase <> 'ended' AND jobs.attempt = attempts.attempt
      AND jobs.state IN ('matched', 'running', 'completing')
"""


class _Pilot(NamedTuple):
    """A row of PILOT."""

    id: int
    state: str
    draining: int
    alarm: str
    epoch: int
    site: str
    host: str
    communities: str  # JSON
    bound: str
    suspected: float | None
    answered: int


class _Won(NamedTuple):
    """A job that was taken out of its queue."""

    job: int
    attempt: int
    queue: int
    priority: int
    document: int
    parameters: str | None
    inputs: str | None
    community: str
    group: str
    owner: str
    cores: int
    limits: str | None  # JSON of the names that it counts against


@dataclass(frozen=True)
class Given:
    """An answer as it comes out of the database. It is filled in by whoever asked: nobody waits for that but he."""

    won: Sequence[_Won]
    known: dict[int, JobSpec]  # documents that were decoded already
    read: dict[int, str]  # the others
    saved: dict[int, list[str]] = field(default_factory=dict)  # job → the reports in which its checkpoint may be
    reason: str | None = None
    limited: tuple[str, ...] = ()


def claim(
    db: sqlite3.Connection,
    now: float,
    templates: Templates,
    stamp: str,
    agent: int,
    request: int,
    picks: Sequence[Pick],
    epoch: int | None = None,
) -> Given:
    found = db.execute(PILOT, (agent, request, stamp)).fetchone()
    pilot = None if found is None else _Pilot._make(found)
    if pilot and epoch not in (None, pilot.epoch):
        return Given((), {}, {}, reason="superseded")
    if pilot and pilot.answered:
        still = _still_out(db.execute(ANSWERED, (stamp, agent, request)).fetchall())
        return _given(db, templates, still, None if still else "superseded")
    if pilot is None or (reason := _barred(pilot)):
        return Given((), {}, {}, reason="banned" if pilot is None else reason)
    wanted = most = sum(pick.count for pick in picks)
    if pilot.suspected is not None:
        most = hosts.allowed(db, now, pilot.site, pilot.host, wanted)
    counting = limits.counting(db, picks) if any(pick.limits for pick in picks) else None
    won: list[_Won] = []
    bound = False  # to another community than that of some pick
    for pick in picks:
        count = min(counting.allowed(pick) if counting else pick.count, most - len(won))
        names = limits.names_text(counting.known(pick.limits)) if counting else None
        taken = _take(db, now, pilot, pick, count, names)
        bound = bound or taken is None
        if counting:
            counting.took(pick, count, len(taken or ()))
        won += taken or ()
    if counting:
        limits.keep(db, counting)
    _lease(db, now, pilot, agent, request, won)
    reason = "bound" if bound else "suspect" if most < wanted else None
    return _given(db, templates, won, reason, counting.limited if counting else ())


def _take(
    db: sqlite3.Connection, now: float, pilot: _Pilot, pick: Pick, count: int, names: str | None
) -> list[_Won] | None:
    """Take up to so many jobs out of a queue, in their order; only of a community that the pilot is for. None: they are
    of another than the one that it serves alone."""
    if count <= 0:
        return []
    communities = (pilot.bound,) if pilot.bound else codec.texts(pilot.communities)
    rows = [_Won._make((*row, pick.cores, names)) for row in _first(db, pilot, pick, count)]
    won = [one for one in rows if one.community in communities]
    if rows and not won and pilot.bound:
        return None
    if len(won) == 1:
        db.execute(TAKE, (now, won[0].job))
    elif won:
        db.execute(TAKE_ALL, (now, codec.text([one.job for one in won])))
    return won


def _first(db: sqlite3.Connection, pilot: _Pilot, pick: Pick, count: int) -> list[sqlite3.Row]:
    """The first jobs of a queue that may be taken."""
    if pick.without:
        return db.execute(WITHOUT, (pick.queue, codec.text(pick.without), pick.queue, count)).fetchall()
    if pilot.suspected is not None:
        found = db.execute(NEW, (pick.queue, pilot.site, pilot.host, count)).fetchall()
        if found:
            return found
    return db.execute(FIRST, (pick.queue, count)).fetchall()


def _barred(pilot: _Pilot) -> str | None:
    """Why a pilot may not have any job."""
    if pilot.alarm:
        return "banned"
    if pilot.state in _MAY_CLAIM:
        return "draining" if pilot.draining else None
    return "draining" if pilot.state == PilotState.DRAINING.value else "banned"


def _lease(db: sqlite3.Connection, now: float, pilot: _Pilot, agent: int, request: int, won: Sequence[_Won]) -> None:
    common = (pilot.id, pilot.site, pilot.epoch, agent, request, now)
    leases = [(one.job, one.attempt, one.community, one.cores, one.limits) for one in won]
    if len(leases) == 1:
        db.execute(LEASE, (*leases[0], *common))
    elif leases:
        db.execute(LEASES, (*common, codec.text(leases)))
    db.execute(HEARD, (len(won), now, pilot.id))
    if pilot.state != PilotState.RUNNING:
        db.execute(BACK_AGAIN, (pilot.id,))


def answered(db: sqlite3.Connection, templates: Templates, stamp: str, agent: int, request: int) -> Given | None:
    rows = db.execute(ANSWERED, (stamp, agent, request)).fetchall()
    if not rows and db.execute(LATER, (stamp, agent, request)).fetchone() is None:
        return None
    return _given(db, templates, _still_out(rows))


def _still_out(rows: Sequence[sqlite3.Row]) -> list[_Won]:
    return [_Won._make((*won, None)) for *won, state, out in rows if out and JobState(state) in LEASED]


def _given(
    db: sqlite3.Connection,
    templates: Templates,
    won: Sequence[_Won],
    reason: str | None = None,
    limited: tuple[str, ...] = (),
) -> Given:
    """The jobs with their documents, which are read in the same transaction when they were not used lately."""
    wanted = {one.document for one in won}
    known = templates.some(wanted)
    saved = checkpoints.ends(db, [one.job for one in won if one.attempt > 1])
    return Given(won, known, documents.texts(db, wanted - known.keys()), saved, reason, limited)


def filled(templates: Templates, given: Given) -> tuple[Leased, ...]:
    """The jobs as they run. For what has been committed."""
    specs = {**given.known, **templates.keep(given.read)} if given.read else given.known
    return tuple(
        [
            Leased(
                job=one.job,
                attempt=one.attempt,
                queue=one.queue,
                priority=one.priority,
                cores=one.cores,
                spec=codec.fill(specs[one.document], one.parameters, one.inputs),
                community=one.community,
                group=one.group,
                owner=one.owner,
                checkpoint=codec.checkpoint(given.saved.get(one.job, ())),
            )
            for one in given.won
        ]
    )


def held(db: sqlite3.Connection, stamp: str) -> tuple[LiveAttempt, ...]:
    rows = db.execute(HELD, (stamp,)).fetchall()
    return tuple([_live(row) for row in sorted(rows, key=itemgetter(0))])


def live_attempt(db: sqlite3.Connection, job: int, attempt: int) -> LiveAttempt:
    row = db.execute(LIVE_ATTEMPT, (job, attempt)).fetchone()
    if row is None:
        raise stale(job, attempt)
    return _live(row)


def _live(row: sqlite3.Row) -> LiveAttempt:
    job, attempt, stamp, community, phase, request, agent, cores = row
    return LiveAttempt(
        job=job,
        attempt=attempt,
        stamp=stamp,
        community=community,
        phase=Phase(phase),
        request=request,
        agent=agent,
        cores=cores,
    )
