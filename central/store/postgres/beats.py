"""What is seen of pilots, written in batches; and the sweep of those that are not seen any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.records import Beat, Swept
from central.store import codec
from central.store.decide import lost
from central.store.loads import sampled
from central.store.postgres import ledgers
from central.store.postgres.attempts import end_each
from central.store.postgres.connection import plain

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

# In the order of ids, as every verb locks pilots.
PILOTS = """
    SELECT id, stamp, host FROM pilots WHERE stamp = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE
"""
# Only news brings a silent pilot back: a beat may have lain in its batch while the sweep ran.
HEARD = """
    UPDATE pilots
    SET last_seen = greatest(last_seen, word.seen),
        sequence = CASE WHEN coalesce(word.epoch, pilots.epoch) = pilots.epoch
                        THEN greatest(pilots.sequence, word.sequence) ELSE pilots.sequence END,
        state = CASE WHEN state <> 'silent' OR word.seen <= coalesce(last_seen, 0) THEN state
                     WHEN draining THEN 'draining'
                     ELSE 'running' END
    FROM unnest($1::bigint[], $2::float8[], $3::bigint[], $4::int[]) AS word (pilot, seen, sequence, epoch)
    WHERE pilots.id = word.pilot AND pilots.state IN ('running', 'silent', 'draining')
"""
OFFER = """
    INSERT INTO nodes (pilot, offer)
    SELECT pilot, offer FROM unnest($1::bigint[], $2::text[]) AS said (pilot, offer)
    ON CONFLICT (pilot) DO UPDATE SET offer = excluded.offer
"""
FACTS = "SELECT pilot, facts, loads FROM nodes WHERE pilot = ANY($1::bigint[])"
KEEP_FACTS = """
    INSERT INTO nodes (pilot, facts, loads)
    SELECT pilot, facts, loads FROM unnest($1::bigint[], $2::text[], $3::text[]) AS said (pilot, facts, loads)
    ON CONFLICT (pilot) DO UPDATE SET facts = excluded.facts, loads = excluded.loads
"""
NAME = """
    UPDATE pilots SET host = said.host
    FROM unnest($1::bigint[], $2::text[]) AS said (pilot, host)
    WHERE pilots.id = said.pilot AND pilots.host <> said.host
"""
# One that somebody is just ending needs no usage of a beat: nothing here waits for the end of an attempt.
USAGE = """
    WITH live AS MATERIALIZED (
        SELECT attempts.job, attempts.attempt, said.usage
        FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[]) AS said (job, attempt, pilot, usage)
        JOIN attempts ON attempts.job = said.job AND attempts.attempt = said.attempt AND attempts.pilot = said.pilot
        WHERE attempts.ended IS NULL
        FOR NO KEY UPDATE OF attempts SKIP LOCKED
    )
    UPDATE attempts SET usage = live.usage
    FROM live WHERE attempts.job = live.job AND attempts.attempt = live.attempt
"""
SILENCE = """
    WITH late AS MATERIALIZED (
        SELECT id FROM pilots
        WHERE state IN ('running', 'draining') AND greatest(last_seen, enrolled, 0) < $1
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE pilots SET state = 'silent' WHERE id = ANY (ARRAY(SELECT id FROM late)) RETURNING stamp
"""
# Those whose leases have run out, if they hold any.
PAST_LEASE = """
    SELECT id, lease FROM pilots
    WHERE state IN ('running', 'silent', 'draining') AND greatest(last_seen, enrolled, 0) + lease < $1
      AND EXISTS (SELECT FROM attempts WHERE attempts.pilot = pilots.id AND attempts.ended IS NULL)
    ORDER BY id FOR NO KEY UPDATE
"""


async def beat(db: Database, now: float, calls: Sequence[Sequence[Beat]]) -> Sequence[None]:
    beats = [beat for call in calls for beat in call]
    rows = await db.fetch(PILOTS, sorted({beat.stamp for beat in beats}))
    known = {row["stamp"]: row["id"] for row in rows}
    heard = _latest([beat for beat in beats if beat.stamp in known])
    await db.execute(
        HEARD,
        [known[beat.stamp] for beat in heard],
        [beat.seen for beat in heard],
        [beat.sequence or 0 for beat in heard],
        [beat.epoch for beat in heard],
    )
    offers = {known[beat.stamp]: beat.offer for beat in beats if beat.stamp in known and beat.offer is not None}
    if offers:
        pilots = sorted(offers)
        await db.execute(OFFER, pilots, [codec.text(offers[pilot]) for pilot in pilots])
    await _keep_facts(db, [(known[beat.stamp], beat) for beat in beats if beat.facts and beat.stamp in known])
    await ledgers.keep_told(db, known, beats)
    usage = {
        (*key, known[beat.stamp]): usage for beat in beats if beat.stamp in known for key, usage in beat.usage.items()
    }
    if usage:
        jobs, attempts, pilots_ = (list(column) for column in zip(*usage, strict=True))
        await db.execute(USAGE, jobs, attempts, pilots_, [codec.text(one) for one in usage.values()])
    return [None] * len(calls)


def _latest(beats: Sequence[Beat]) -> list[Beat]:
    """One of each pilot, that says all that matters: the newest time, and of the newest epoch the highest number."""
    latest: dict[str, Beat] = {}
    for beat in beats:
        before = latest.get(beat.stamp)
        latest[beat.stamp] = beat if before is None else _joined(before, beat)
    return list(latest.values())


def _joined(one: Beat, other: Beat) -> Beat:
    numbered = [beat for beat in (one, other) if beat.sequence is not None]
    newest = max(numbered, key=lambda beat: (beat.epoch or 0, beat.sequence or 0), default=other)
    return Beat(one.stamp, max(one.seen, other.seen), newest.sequence, epoch=newest.epoch)


async def _keep_facts(db: Database, said: Sequence[tuple[int, Beat]]) -> None:
    if not said:
        return
    rows = await db.fetch(FACTS, sorted({pilot for pilot, _ in said}))
    known = {row["pilot"]: codec.facts(row["facts"]) for row in rows}
    loads = {row["pilot"]: codec.loads(row["loads"]) for row in rows}
    for pilot, beat in said:
        known[pilot] = codec.merged_facts(known.get(pilot, ()), beat.facts)
        loads[pilot] = sampled(loads.get(pilot, ()), beat.facts, beat.seen)
    pilots = sorted({pilot for pilot, _ in said})
    await db.execute(KEEP_FACTS, pilots, *([codec.text(kept[pilot]) for pilot in pilots] for kept in (known, loads)))
    hosts = {pilot: host for pilot in pilots if (host := plain(codec.host(known[pilot])))}
    if hosts:
        await db.execute(NAME, list(hosts), list(hosts.values()))


async def sweep(db: Database, now: float, silent_after: float) -> Swept:
    silent = tuple(row["stamp"] for row in await db.fetch(SILENCE, now - silent_after))
    ends = {row["id"]: lost(row["lease"]) for row in await db.fetch(PAST_LEASE, now)}
    return Swept(silent, await end_each(db, now, ends))
