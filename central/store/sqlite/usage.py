"""What was used: by whom, where and when."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

from central.records import USAGE_KEYS
from central.store import codec
from central.store.accounts import parts
from central.store.sqlite.accounting import summed
from pilot.errors import Refusal
from pilot.use import UsageRow

# Sums of whole hours (by their middle) and rows, told apart by span and keys. The keys are put in as column names.
USED = """
    WITH used AS (
        SELECT usage_hours.hour + 1800 AS time, community, "group", owner, site, attempts, succeeded, core_seconds,
               cpu_seconds, memory_peak, lost_core_seconds
        FROM json_each(:hours) AS range
        CROSS JOIN usage_hours ON hour >= range.value ->> 0 AND hour < range.value ->> 1
        UNION ALL
        SELECT ended, community, "group", owner, site, 1, outcome = 'success', cores * wall, coalesce(cpu, 0.0),
               coalesce(memory_peak, 0), CASE WHEN outcome = 'success' THEN 0.0 ELSE cores * wall END
        FROM json_each(:rows) AS range
        CROSS JOIN accounting ON ended >= range.value ->> 0 AND ended < range.value ->> 1
    )
    SELECT CAST((time - :since) / :span AS INTEGER) AS number, {keys}, sum(attempts), sum(succeeded),
           sum(core_seconds), sum(cpu_seconds), max(memory_peak), sum(lost_core_seconds)
    FROM used
    WHERE :community IS NULL OR community = :community
    GROUP BY number, {keys}
"""
#: Stands for "one span" in the statement.
_ENDLESS = math.inf


def usage(
    db: sqlite3.Connection, community: str | None, by: Sequence[str], since: float, until: float, span: float | None
) -> tuple[UsageRow, ...]:
    if unknown := [key for key in by if key not in USAGE_KEYS]:
        raise Refusal("invalid", f"by: expected some of {', '.join(USAGE_KEYS)}, got {unknown[0]!r}")
    ranges = parts(since, until, span, summed(db))
    values = {
        "community": community,
        "since": since,
        "span": _ENDLESS if span is None else span,
        "hours": codec.text(ranges.hours),
        "rows": codec.text(ranges.rows),
    }
    columns = ", ".join(f'"{key}"' for key in by) or "''"
    sums = [
        UsageRow(since if span is None else since + number * span, tuple(rest[: len(by)]), *rest[-6:])
        for number, *rest in db.execute(USED.format(keys=columns), values)
    ]
    return tuple(sorted(sums, key=lambda one: (one.start, one.keys)))
