"""The claim in general, and what a pilot holds. Claims that come together are a few statements, whatever their number;
`quick` does the usual ones in one, and brings the others here.

Whoever locks rows locks them in one order, here and in every verb of this package, so that transactions wait for each
other and never in a circle: pilots by id, jobs by id, hosts by name, limits by name. A claim takes waiting jobs without
waiting for them (SKIP LOCKED), so it may do so last.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from central.records import Claim, Leased, LiveAttempt, Pick, TaskQueue
from central.store import codec
from central.store.decide import stale
from central.store.postgres import checkpoints, hosts, limits, passing_over
from central.store.suspicion import at_most, may_claim
from pilot.protocol import InputFile
from pilot.states import LEASED, JobState, Phase, PilotState

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row
    from central.store.postgres.documents import Documents
    from central.store.postgres.waiting import Queues
    from central.store.templates import Template

#: The states in which a pilot may be given jobs; one that was silent speaks now.
_MAY_CLAIM = frozenset({PilotState.RUNNING, PilotState.SILENT})
#: Seconds until a second try for jobs that another transaction is just taking, or giving back.
SHORT = 0.005

# Pilots that ask, and whether their machine is suspect.
PILOTS = """
    SELECT pilots.id, pilots.stamp, pilots.state, pilots.draining, pilots.alarm, pilots.epoch, pilots.site, pilots.host,
           pilots.communities, pilots.bound, hosts.suspected
    FROM pilots
    LEFT JOIN hosts ON hosts.site = pilots.site AND hosts.host = pilots.host
    WHERE pilots.stamp = ANY($1::text[])
    ORDER BY pilots.id
    FOR NO KEY UPDATE OF pilots
"""
# The first jobs of each queue become attempts. The array keeps the planner from reading all jobs.
TAKE = """
    WITH chosen AS MATERIALIZED (
        SELECT first.id
        FROM unnest($2::bigint[], $3::bigint[]) AS wanted (queue, count)
        CROSS JOIN LATERAL (
            SELECT id FROM jobs WHERE jobs.queue = wanted.queue AND stage = 'waiting'
            ORDER BY priority DESC, id LIMIT wanted.count
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS first
    )
    UPDATE jobs SET state = 'matched', attempt = attempt + 1, changed = $1, reason = ''
    WHERE id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING id AS job, attempt, queue, priority, document, parameters, inputs
"""
# Of these queues, those in which something waits for all that this transaction has taken.
STILL = """
    SELECT queue FROM unnest($1::bigint[]) AS asked (queue)
    WHERE EXISTS (SELECT FROM jobs WHERE jobs.queue = asked.queue AND stage = 'waiting')
"""
# A claim is a word of the pilot: its leases count from now on.
LEASE = """
    WITH leased AS (
        INSERT INTO attempts (job, attempt, pilot, epoch, agent, request, cores, started, phase, community, site,
                              limits)
        SELECT job, attempt, pilot, epoch, agent, request, cores, $1, 'matched', community, site, limits
        FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::int[], $9::text[],
                    $10::text[], $11::text[])
          AS given (job, attempt, pilot, epoch, agent, request, cores, community, site, limits)
    )
    UPDATE pilots SET leases = pilots.leases + heard.leases, last_seen = greatest(last_seen, $1), state = 'running',
                      answered = pilots.answered || heard.answered::jsonb
    FROM unnest($12::bigint[], $13::bigint[], $14::text[]) AS heard (pilot, leases, answered)
    WHERE pilots.id = heard.pilot
"""
# Of request numbers that were answered, up to the last of each agent in its pilot's present epoch: the jobs that are
# still held, or one row without a job. The offset keeps the planner from looking at all that a pilot ever had.
ANSWERED = """
    SELECT asked.number, jobs.id AS job, attempts.attempt, jobs.queue, jobs.priority, jobs.document, jobs.parameters,
           jobs.inputs, jobs.community, jobs."group", jobs.owner, attempts.cores,
           jobs.attempt = attempts.attempt AND jobs.stage = 'out' AS out
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS asked (stamp, agent, request, number)
    JOIN pilots ON pilots.stamp = asked.stamp
    LEFT JOIN LATERAL (
        SELECT * FROM attempts
        WHERE attempts.pilot = pilots.id AND attempts.ended IS NULL AND attempts.epoch = pilots.epoch
          AND attempts.agent = asked.agent AND attempts.request = asked.request
        OFFSET 0
    ) AS attempts ON true
    LEFT JOIN jobs ON jobs.id = attempts.job
    WHERE asked.request <= (pilots.answered ->> asked.agent::text)::bigint
    ORDER BY jobs.priority DESC, jobs.id
"""
_LIVE = """
    SELECT attempts.job, attempts.attempt, pilots.stamp, attempts.community, attempts.phase, attempts.request,
           attempts.agent, attempts.cores, jobs.state AS job_state, jobs.attempt AS current, attempts.closed
    FROM attempts
    JOIN pilots ON pilots.id = attempts.pilot
    JOIN jobs ON jobs.id = attempts.job
"""
HELD = f"{_LIVE} WHERE pilots.stamp = $1 AND attempts.ended IS NULL ORDER BY attempts.job"
ATTEMPT = f"{_LIVE} WHERE attempts.job = $1 AND attempts.attempt = $2"

#: Stamp, agent, request and epoch.
Number: TypeAlias = tuple[str, int, int, int | None]


@dataclass(frozen=True)
class Call:
    """One claim. Its request is known by its `number`; a repeat in the same batch gets the same answer."""

    stamp: str
    agent: int
    request: int
    picks: tuple[Pick, ...]
    epoch: int | None = None  # of the pilot that asks; None: whichever it is in

    @property
    def number(self) -> Number:
        return (self.stamp, self.agent, self.request, self.epoch)


@dataclass(frozen=True)
class Lease:
    """A job on its way to a call, and the limits that it counts against."""

    row: Row
    cores: int
    limits: tuple[str, ...]


@dataclass
class Asking:
    """A call of a pilot that may have jobs, what of its picks it may have, and what it gets."""

    call: Call
    pilot: Row
    picks: Sequence[Pick]
    allowed: Sequence[limits.Allowed] = ()
    reason: str | None = None
    trial: bool = False  # its machine is suspect, and may have this one job
    limited: set[str] = field(default_factory=set)
    won: list[Lease] = field(default_factory=list)


async def claim(
    db: Database, now: float, documents: Documents, queues: Queues, calls: Sequence[Call]
) -> Sequence[Claim]:
    """The answers to claims that came together, in their order."""
    by_number = {call.number: call for call in reversed(calls)}
    distinct = [by_number[number] for number in dict.fromkeys(call.number for call in calls)]
    pilots = {row["stamp"]: row for row in await db.fetch(PILOTS, sorted({call.stamp for call in distinct}))}
    answers = await _known(db, documents, distinct)
    asking: list[Asking] = []
    for call in distinct:
        pilot = pilots.get(call.stamp)
        if pilot is not None and call.epoch not in (None, pilot["epoch"]):
            answers[call.number] = Claim((), "superseded")
        if call.number in answers:
            continue
        if reason := _barred(pilot):
            answers[call.number] = Claim((), reason)
        else:
            asking.append(Asking(call, pilots[call.stamp], call.picks))
    if asking:
        known = await queues.get(db, {pick.queue for one in asking for pick in one.picks})
        await _narrow(db, now, known, asking)
        await _take_trials(db, now, asking)
        _hand_out(await _take(db, now, asking), asking)
        await _write(db, now, known, asking)
        given = await Given.of(db, documents, [lease.row for one in asking for lease in one.won])
        for one in asking:
            leases = tuple(leased(lease.row, lease.cores, known[lease.row["queue"]], given) for lease in one.won)
            answers[one.call.number] = Claim(leases, one.reason, tuple(sorted(one.limited)))
    return [answers[call.number] for call in calls]


def _barred(pilot: Row | None) -> str | None:
    """Why a pilot may not have any job."""
    if pilot is None or pilot["alarm"]:
        return "banned"
    state = PilotState(pilot["state"])
    if state is PilotState.DRAINING or (state in _MAY_CLAIM and pilot["draining"]):
        return "draining"
    return None if state in _MAY_CLAIM else "banned"


async def _narrow(db: Database, now: float, known: Mapping[int, TaskQueue], asking: Sequence[Asking]) -> None:
    """Leave of the picks what each pilot may have: of its communities, as its machine and the limits allow."""
    for one in asking:
        bound = one.pilot["bound"]
        communities = (bound,) if bound else codec.texts(one.pilot["communities"])
        there = [pick for pick in one.picks if pick.queue in known]
        one.picks = [pick for pick in there if known[pick.queue].community in communities]
        one.reason = "bound" if bound and len(one.picks) < len(there) else None
    if any(one.pilot["suspected"] is not None for one in asking):
        await _try_machines(db, now, asking)
    names = {name for one in asking for pick in one.picks for name in pick.limits}
    if names:
        room = await limits.lock(db, names)
        for one in asking:
            one.allowed = [room.allow(pick) for pick in one.picks]
    else:
        for one in asking:
            one.allowed = [limits.Allowed(pick, ()) for pick in one.picks]


async def _try_machines(db: Database, now: float, asking: Sequence[Asking]) -> None:
    """Of the machines that are suspect each gets one job at most, and only when its pause is over."""
    found = await hosts.lock(db, {(one.pilot["site"], one.pilot["host"]) for one in asking})
    trials = await hosts.trials(db, found)
    for one in asking:
        place = (one.pilot["site"], one.pilot["host"])
        row = found.get(place)
        if row is None or row.suspected is None:
            continue
        wanted = sum(pick.count for pick in one.picks)
        most = at_most(row, wanted) if may_claim(row, now, trials.get(place, 0)) else 0
        trials[place] = trials.get(place, 0) + most
        one.picks = [replace(pick, count=1) for pick in one.picks[:1]] if most else []
        one.trial = most > 0
        one.reason = one.reason or ("suspect" if most < wanted else None)


async def _take_trials(db: Database, now: float, asking: Sequence[Asking]) -> None:
    """A machine that is suspect is tried with a job that has not failed there, where one waits."""
    for one in asking:
        pick = one.allowed[0].pick if one.trial and one.allowed else None
        if pick is None or not pick.count or pick.without:
            continue
        if row := await hosts.trial(db, now, pick.queue, (one.pilot["site"], one.pilot["host"])):
            one.won.append(Lease(row, pick.cores, pick.limits))
            one.allowed = ()


async def _take(db: Database, now: float, asking: Sequence[Asking]) -> dict[int, list[Row]]:
    """Jobs of each queue, in its order, as many as are asked for and there are."""
    picks = [allowed.pick for one in asking for allowed in one.allowed if allowed.pick.count]
    wanted: dict[int, int] = defaultdict(int)
    for pick in picks:
        wanted[pick.queue] += pick.count
    taken: dict[int, list[Row]] = {queue: [] for queue in wanted}
    for row in await passing_over.take(db, now, picks, wanted):
        taken[row["queue"]].append(row)
    for pause in (SHORT, 0.0):
        if not wanted:
            break
        for row in await db.fetch(TAKE, now, list(wanted), list(wanted.values())):
            taken[row["queue"]].append(row)
            wanted[row["queue"]] -= 1
        wanted = {queue: count for queue, count in wanted.items() if count > 0}
        if wanted and pause:
            still = [row["queue"] for row in await db.fetch(STILL, list(wanted))]
            wanted = {queue: wanted[queue] for queue in still}
            if wanted:
                await asyncio.sleep(pause)
    for rows in taken.values():
        rows.sort(key=lambda row: (-row["priority"], row["job"]))
    return taken


def _hand_out(taken: Mapping[int, list[Row]], asking: Sequence[Asking]) -> None:
    """Who came first is served first. A limit is to blame for less only where there was more to be had."""
    ahead = {queue: iter(rows) for queue, rows in taken.items()}
    for one in asking:
        for allowed in one.allowed:
            pick = allowed.pick
            rows = list(islice(ahead.get(pick.queue, iter(())), pick.count))
            one.won += (Lease(row, pick.cores, pick.limits) for row in rows)
            if len(rows) == pick.count:
                one.limited.update(allowed.full)


async def _write(db: Database, now: float, known: Mapping[int, TaskQueue], asking: Sequence[Asking]) -> None:
    won = [(one, lease) for one in asking for lease in one.won]
    heard: dict[int, int] = defaultdict(int)
    answered: dict[int, dict[int, int]] = defaultdict(dict)
    for one in sorted(asking, key=lambda one: one.call.request):
        heard[one.pilot["id"]] += len(one.won)
        if one.won:
            answered[one.pilot["id"]][one.call.agent] = one.call.request
    await db.execute(
        LEASE,
        now,
        [lease.row["job"] for _, lease in won],
        [lease.row["attempt"] for _, lease in won],
        [one.pilot["id"] for one, _ in won],
        [one.pilot["epoch"] for one, _ in won],
        [one.call.agent for one, _ in won],
        [one.call.request for one, _ in won],
        [lease.cores for _, lease in won],
        [known[lease.row["queue"]].community for _, lease in won],
        [one.pilot["site"] for one, _ in won],
        [limits.names_text(lease.limits) for _, lease in won],
        list(heard),
        list(heard.values()),
        [codec.text(answered[pilot]) for pilot in heard],
    )
    await limits.add(db, [(lease.limits, lease.cores) for _, lease in won if lease.limits])


# -- what was answered before


async def _known(db: Database, documents: Documents, calls: Sequence[Call]) -> dict[Number, Claim]:
    """The answers of request numbers that were given leases before: those that are still held."""
    rows = await db.fetch(
        ANSWERED, [call.stamp for call in calls], [call.agent for call in calls], [call.request for call in calls]
    )
    if not rows:
        return {}
    given = await Given.of(db, documents, [row for row in rows if row["out"]])
    held: dict[Number, list[Leased]] = defaultdict(list)
    for row in rows:
        leases = held[calls[row["number"] - 1].number]
        if row["out"]:
            leases.append(_again(row, given))
    return {number: Claim(tuple(leases), None if leases else "superseded") for number, leases in held.items()}


async def answered(
    db: Database, documents: Documents, stamp: str, agent: int, request: int
) -> tuple[Leased, ...] | None:
    call = Call(stamp, agent, request, ())
    known = (await _known(db, documents, [call])).get(call.number)
    return None if known is None else known.leases


@dataclass(frozen=True)
class Given:
    """What jobs are filled in from: documents by their ids, and checkpoints by job."""

    specs: Mapping[int, Template]
    checkpoints: Mapping[int, tuple[InputFile, ...]]

    @classmethod
    async def of(cls, db: Database, documents: Documents, rows: Sequence[Row]) -> Given:
        """For these jobs. A first attempt has nothing to go on from."""
        specs = await documents.get(db, {row["document"] for row in rows})
        return cls(specs, await checkpoints.get(db, [row["job"] for row in rows if row["attempt"] > 1]))


def leased(row: Row, cores: int, queue: TaskQueue, given: Given) -> Leased:
    # By place: names take longer, and this is done for every match.
    return Leased(
        row["job"],
        row["attempt"],
        row["queue"],
        row["priority"],
        cores,
        given.specs[row["document"]].filled(row["parameters"], row["inputs"]),
        queue.community,
        queue.group,
        queue.owner,
        given.checkpoints.get(row["job"], ()),
    )


def _again(row: Row, given: Given) -> Leased:
    queue = TaskQueue(row["queue"], row["community"], row["group"], row["owner"], codec.needs("{}"))
    return leased(row, row["cores"], queue, given)


# -- what is out


async def held(db: Database, stamp: str) -> tuple[LiveAttempt, ...]:
    return tuple(_live(row) for row in await db.fetch(HELD, stamp))


async def live_attempt(db: Database, job: int, attempt: int) -> LiveAttempt:
    row = await db.fetchrow(ATTEMPT, job, attempt)
    if row is None or row["closed"] or row["current"] != attempt or JobState(row["job_state"]) not in LEASED:
        raise stale(job, attempt)
    return _live(row)


def _live(row: Row) -> LiveAttempt:
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
