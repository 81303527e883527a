"""What was used: by whom, where and when; what still counts of it; and its sums by the hour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from central.records import USAGE_KEYS, Consumed
from central.store.accounts import HORIZON, HOUR, parts, summable
from pilot.errors import Refusal
from pilot.use import UsageRow

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

#: (community, group, owner)
_Owner: TypeAlias = tuple[str, str, str]

#: Seconds after an end for which a transaction that wrote it may still be under way. One that takes longer is missed
#: by `Use.consumed` until the next hour is summed.
UNSETTLED = 60.0
#: Core-seconds that are none.
NOTHING = 1e-6
#: Seconds that are summed by one statement.
DAY = 24 * HOUR

# Sums of whole hours (by their middle) and rows, told apart by span and keys. The keys are put in as column names.
USED = """
    WITH used AS (
        SELECT hour + 1800.0 AS time, community, "group", owner, site, attempts, succeeded, core_seconds, cpu_seconds,
               memory_peak, lost_core_seconds
        FROM unnest($4::bigint[], $5::bigint[]) AS range (first, until)
        JOIN usage_hours ON hour >= range.first AND hour < range.until
        WHERE $1::text IS NULL OR community = $1
        UNION ALL
        SELECT ended, community, "group", owner, site, 1, (outcome = 'success')::int, cores * wall, coalesce(cpu, 0),
               coalesce(memory_peak, 0), CASE WHEN outcome = 'success' THEN 0 ELSE cores * wall END
        FROM unnest($6::float8[], $7::float8[]) AS range (first, until)
        JOIN accounting ON ended >= range.first AND ended < range.until
        WHERE $1::text IS NULL OR community = $1
    )
    SELECT floor((time - $2::float8) / $3::float8)::bigint AS number, sum(attempts)::bigint AS attempts,
           sum(succeeded)::bigint AS succeeded, sum(core_seconds) AS core_seconds, sum(cpu_seconds) AS cpu_seconds,
           max(memory_peak) AS memory_peak, sum(lost_core_seconds) AS lost_core_seconds{columns}
    FROM used
    GROUP BY number{columns}
"""
# Use is halved for every half-life since. What is left after a thousand half-lives is less than a number can say.
# Of summed hours, as if used in their middle, at the time $1.
PAST = """
    SELECT community, "group", owner, sum(core_seconds * exp(greatest(-$2::float8 * ($1::float8 - hour - 1800), -690)))
             AS used
    FROM usage_hours
    WHERE hour >= $3::float8 AND hour < $4::bigint
    GROUP BY community, "group", owner
"""
# Of what ended since $3, over the time it ran: `settled`, what ended before $4, at that time; `used`, the rest, now
# ($1). And what runs, with its cores; `OFFSET 0` has each of its jobs looked up, where the planner would read all jobs
# every ten seconds, with every core of the server.
RECENT = """
    WITH used AS (
        SELECT community, "group", owner, ended < $4::float8 AS settled,
               cores / $2::float8 * (exp(greatest(-$2 * greatest(at - ended, 0), -690))
                                     - exp(greatest(-$2 * greatest(at - ended + wall, 0), -690))) AS used,
               0 AS cores
        FROM accounting, LATERAL (SELECT CASE WHEN ended < $4 THEN $4 ELSE $1::float8 END AS at) AS reference
        WHERE ended >= $3::float8
        UNION ALL
        SELECT attempts.community, job."group", job.owner, false,
               attempts.cores / $2 * (1 - exp(greatest(-$2 * greatest($1 - attempts.started, 0), -690))),
               attempts.cores
        FROM attempts
        CROSS JOIN LATERAL (SELECT "group", owner FROM jobs WHERE jobs.id = attempts.job OFFSET 0) AS job
        WHERE attempts.ended IS NULL
    )
    SELECT community, "group", owner, coalesce(sum(used) FILTER (WHERE settled), 0) AS settled,
           coalesce(sum(used) FILTER (WHERE NOT settled), 0) AS used, sum(cores) AS cores
    FROM used
    GROUP BY community, "group", owner
"""
# All hours before this one have their sums.
SUMMED = "SELECT until FROM usage_summed"
LOCK = "SELECT until FROM usage_summed FOR UPDATE"
FIRST = "SELECT min(ended) FROM accounting WHERE ended >= $1"
FORGET = "DELETE FROM usage_hours WHERE hour >= $1"
SUM = """
    INSERT INTO usage_hours (hour, community, "group", owner, site, attempts, succeeded, core_seconds, cpu_seconds,
                             memory_peak, lost_core_seconds)
    SELECT floor(ended / 3600)::bigint * 3600, community, "group", owner, site,
           count(*), count(*) FILTER (WHERE outcome = 'success'), sum(cores * wall), coalesce(sum(cpu), 0),
           coalesce(max(memory_peak), 0), coalesce(sum(cores * wall) FILTER (WHERE outcome <> 'success'), 0)
    FROM accounting
    WHERE ended >= $1::bigint AND ended < $2::bigint
    GROUP BY 1, 2, 3, 4, 5
"""
HOURS = "SELECT count(DISTINCT hour) FROM usage_hours WHERE hour >= $1 AND hour < $2"
MARK = "UPDATE usage_summed SET until = $1"


async def usage(
    db: Database, community: str | None, *, by: Sequence[str], since: float, until: float, span: float | None
) -> tuple[UsageRow, ...]:
    if unknown := [key for key in by if key not in USAGE_KEYS]:
        raise Refusal("invalid", f"by: expected some of {', '.join(USAGE_KEYS)}, got {unknown[0]!r}")
    ranges = parts(since, until, span, await db.fetchval(SUMMED))
    columns = "".join(f', "{key}"' for key in by)
    rows = await db.fetch(
        USED.format(columns=columns),
        community,
        since,
        math.inf if span is None else span,
        *_columns(ranges.hours),
        *_columns(ranges.rows),
    )
    sums = (_sum(row, by, since, span) for row in rows)
    return tuple(sorted(sums, key=lambda one: (one.start, one.keys)))


@dataclass(frozen=True)
class _Past:
    """What had been used by the time `at`, of what ended before then: by (community, group, owner), decayed to then."""

    half_life: float
    summed: int  # the hours of which it is made
    at: float
    used: Mapping[_Owner, float]


class Use:
    """What still counts of use. All decays alike, so what ended long ago is read once and its sum grows old with it;
    when another hour has been summed all is read anew."""

    def __init__(self) -> None:
        self._past: _Past | None = None

    async def consumed(self, db: Database, now: float, half_life: float) -> tuple[Consumed, ...]:
        if not 0 < half_life < math.inf:
            raise Refusal("invalid", f"half_life: expected more than 0 s, got {half_life:g}")
        rate = math.log(2) / half_life
        past = await self._known(db, now, half_life)
        settled = max(past.at, now - UNSETTLED)
        rows = await db.fetch(RECENT, now, rate, past.at, settled)
        used = _aged(past.used, rate * (settled - past.at))
        for row in rows:
            if row["settled"]:
                used[_owner(row)] = used.get(_owner(row), 0.0) + row["settled"]
        self._past = _Past(half_life, past.summed, settled, used)
        recent = {_owner(row): row for row in rows}
        aged = _aged(used, rate * (now - settled))
        found = (
            Consumed(*owner, aged.get(owner, 0.0) + (row["used"] if row else 0.0), row["cores"] if row else 0)
            for owner in sorted(aged.keys() | recent.keys())
            for row in [recent.get(owner)]
        )
        return tuple(one for one in found if one.used > 0 or one.cores > 0)

    async def _known(self, db: Database, now: float, half_life: float) -> _Past:
        summed = int(await db.fetchval(SUMMED))
        past = self._past
        if past and (past.half_life, past.summed) == (half_life, summed) and past.at <= now:
            return past
        rows = await db.fetch(PAST, summed, math.log(2) / half_life, now - HORIZON * half_life - HOUR, summed)
        return _Past(half_life, summed, float(summed), {_owner(row): row["used"] for row in rows})


def _owner(row: Row) -> _Owner:
    return row["community"], row["group"], row["owner"]


def _aged(used: Mapping[_Owner, float], lives: float) -> dict[_Owner, float]:
    """After so many times the life in which the e-th part is left; without those of whom next to nothing is."""
    left = math.exp(-lives)
    return {owner: now for owner, before in used.items() if (now := before * left) > NOTHING}


async def roll_up(db: Database, now: float) -> int:
    begin, end = int(await db.fetchval(LOCK)), summable(now)
    if end <= begin:
        return 0
    await db.execute(MARK, end)
    await db.execute(FORGET, begin)  # sums from before the clock was set back
    first = await db.fetchval(FIRST, begin)
    if first is not None:
        for day in range(int(first // DAY) * DAY, end, DAY):  # a year at once would take longer than a statement may
            await db.execute(SUM, max(day, begin), min(day + DAY, end))
    return int(await db.fetchval(HOURS, begin, end))


def _columns(ranges: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in ranges], [until for _, until in ranges]


def _sum(row: Row, keys: Sequence[str], since: float, span: float | None) -> UsageRow:
    return UsageRow(
        start=since if span is None else since + row["number"] * span,
        keys=tuple(row[key] for key in keys),
        attempts=row["attempts"],
        succeeded=row["succeeded"],
        core_seconds=row["core_seconds"],
        cpu_seconds=row["cpu_seconds"],
        memory_peak=row["memory_peak"],
        lost_core_seconds=row["lost_core_seconds"],
    )
