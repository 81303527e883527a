"""Limits on what runs: counters that every claim and end under them changes, in its own transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.records import Limit, LimitUse, Pick
from central.store import codec
from central.store.limiting import Place, check, counts, demanded_tags, room

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

ALL = "SELECT name, definition, attempts, cores FROM limits ORDER BY name"
# The update of nothing has the table of attempts locked first, as every end of an attempt has, and `ALONE`.
LOCK = """
    WITH nothing AS (UPDATE attempts SET phase = phase WHERE false)
    SELECT name, definition, attempts, cores FROM limits WHERE name = ANY($1::text[]) ORDER BY name FOR NO KEY UPDATE
"""
# The rows are locked in the order of their names first, which the update would not keep.
ADD = """
    WITH locked AS MATERIALIZED (
        SELECT name FROM limits WHERE name = ANY($1::text[]) ORDER BY name FOR NO KEY UPDATE
    )
    UPDATE limits SET attempts = limits.attempts + more.attempts, cores = limits.cores + more.cores
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS more (name, attempts, cores)
    WHERE limits.name = more.name AND (SELECT count(*) FROM locked) > 0
"""
# Nothing is claimed and nothing ends while the limits are replaced.
ALONE = "LOCK TABLE attempts, limits IN SHARE ROW EXCLUSIVE MODE"
CLEAR = "DELETE FROM limits"
DEFINE = "INSERT INTO limits (name, definition, attempts, cores) VALUES ($1, $2, $3, $4)"
OUT = """
    SELECT attempts.job, attempts.attempt, attempts.cores, attempts.site, attempts.limits, pilots.queue,
           jobs.community, jobs."group", jobs.owner, task_queues.needs
    FROM attempts
    JOIN pilots ON pilots.id = attempts.pilot
    JOIN jobs ON jobs.id = attempts.job
    JOIN task_queues ON task_queues.id = jobs.queue
    WHERE attempts.ended IS NULL
"""
MARK = """
    UPDATE attempts SET limits = marked.limits
    FROM unnest($1::bigint[], $2::int[], $3::text[]) AS marked (job, attempt, limits)
    WHERE attempts.job = marked.job AND attempts.attempt = marked.attempt
"""


@dataclass(frozen=True)
class Allowed:
    """A pick cut down to what there is room for, and the limits that are in the way of more."""

    pick: Pick
    full: tuple[str, ...]


class Room:
    """The limits that a batch of claims falls under, locked until it is written."""

    def __init__(self, uses: Iterable[LimitUse]) -> None:
        self._uses = {use.limit.name: use for use in uses}

    def allow(self, pick: Pick) -> Allowed:
        """What of a pick there is room for, which is taken. A name that is no limit (any more) is left out."""
        names = tuple(name for name in pick.limits if name in self._uses)
        rooms = {name: left for name in names if (left := room(self._uses[name], pick.cores)) is not None}
        count = min([pick.count, *rooms.values()])
        for name in names:
            use = self._uses[name]
            self._uses[name] = LimitUse(use.limit, use.attempts + count, use.cores + count * pick.cores)
        full = tuple(name for name, left in rooms.items() if left == count) if count < pick.count else ()
        return Allowed(Pick(pick.queue, count, pick.cores, names), full)


async def lock(db: Database, names: Iterable[str]) -> Room:
    rows = await db.fetch(LOCK, sorted(set(names)))
    return Room(_use(row) for row in rows)


async def add(db: Database, out: Iterable[tuple[Sequence[str], int]]) -> None:
    """Count attempts, by the limits they fall under and their cores."""
    await _add(db, out, 1)


async def subtract(db: Database, over: Iterable[tuple[Sequence[str], int]]) -> None:
    """Count them no more."""
    await _add(db, over, -1)


async def _add(db: Database, changes: Iterable[tuple[Sequence[str], int]], sign: int) -> None:
    attempts: dict[str, int] = defaultdict(int)
    cores: dict[str, int] = defaultdict(int)
    for names, count in changes:
        for name in names:
            attempts[name] += sign
            cores[name] += sign * count
    if attempts:
        names = sorted(attempts)
        await db.execute(ADD, names, [attempts[name] for name in names], [cores[name] for name in names])


async def set_limits(db: Database, now: float, limits: Sequence[Limit]) -> None:
    check(limits)
    await db.execute(ALONE)
    attempts: Counter[str] = Counter()
    cores: Counter[str] = Counter()
    marks: list[tuple[int, int, str | None]] = []
    for row in await db.fetch(OUT):
        place = _place(row)
        names = tuple(sorted(limit.name for limit in limits if counts(limit, place)))
        attempts.update(names)
        cores.update(dict.fromkeys(names, row["cores"]))
        if names_text(names) != row["limits"]:
            marks.append((row["job"], row["attempt"], names_text(names)))
    await db.execute(MARK, *([list(column) for column in zip(*marks, strict=True)] or ([], [], [])))
    await db.execute(CLEAR)
    values = [(limit.name, codec.text(limit), attempts[limit.name], cores[limit.name]) for limit in limits]
    await db.executemany(DEFINE, values)


async def limits(db: Database) -> tuple[LimitUse, ...]:
    return tuple(_use(row) for row in await db.fetch(ALL))


def names_text(names: Sequence[str]) -> str | None:
    """The names that an attempt counts against, as they are kept with it."""
    return codec.text(names) if names else None


def _use(row: Row) -> LimitUse:
    return LimitUse(codec.limit(row["definition"]), row["attempts"], row["cores"])


def _place(row: Row) -> Place:
    tags = demanded_tags(codec.needs(row["needs"]).tags)
    return Place(row["site"], row["queue"], row["community"], row["group"], row["owner"], tags)
