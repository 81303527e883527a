"""Lists of jobs: a page, newest first, and all that a selection means.

A page is merged from one short run over an index for each community (or owner) and stage, which is what the indexes
know of a state, so that its cost does not grow with the number of jobs; other filters look at the rows of those runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.store.postgres import waiting
from central.store.rows import job_view
from central.store.selecting import END, MAX_SELECTED, before_cursor, check_selected, check_selection, looks_at_rows
from pilot.states import LEASED, JobState
from pilot.views import JobPage, Selection

if TYPE_CHECKING:
    from central.store.postgres.connection import Database, Row

#: A group of at most so many owners has its jobs looked for by owner; a larger one has its share of every run.
FEW_OWNERS = 30

# What fits a selection's states, group, name, place and time; NULL: any. A job that waits or is held is nowhere. The
# planner makes nothing of a CASE, and so does not come to believe that hardly anything will fit and all of a run is
# quickly read.
_FITS = """CASE WHEN ($1::text[] IS NULL OR state = ANY ($1))
                AND ($2::text IS NULL OR "group" = $2)
                AND ($3::text IS NULL OR starts_with(name, $3))
                AND ($4::text IS NULL OR state NOT IN ('waiting', 'held') AND $4 = (
                    SELECT site FROM attempts WHERE attempts.job = jobs.id AND attempts.attempt = jobs.attempt))
                AND ($5::text IS NULL OR state NOT IN ('waiting', 'held') AND $5 = (
                    SELECT pilots.queue FROM attempts JOIN pilots ON pilots.id = attempts.pilot
                    WHERE attempts.job = jobs.id AND attempts.attempt = jobs.attempt))
                AND ($6::float8 IS NULL OR submitted >= $6) THEN true END"""
# Below $7, at most $8: one run for each community and stage. The minus is that of the index: by id alone the planner
# would take the primary key for cheaper, and read all jobs that are newer than those wanted.
IDS_OF_COMMUNITIES = f"""
    SELECT run.id
    FROM unnest($9::text[]) AS one(community) CROSS JOIN unnest($10::text[]) AS at(stage) CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE community = one.community AND stage = at.stage AND -id > -$7::bigint
          AND {_FITS}
        ORDER BY -id LIMIT $8
    ) AS run
    ORDER BY run.id DESC LIMIT $8
"""  # noqa: S608 - constants
# One run for each owner and stage.
IDS_OF_OWNERS = f"""
    SELECT run.id
    FROM unnest($9::text[], $10::text[]) AS one(community, owner) CROSS JOIN unnest($11::text[]) AS at(stage)
    CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE community = one.community AND owner = one.owner AND stage = at.stage AND -id > -$7::bigint
          AND {_FITS}
        ORDER BY -id LIMIT $8
    ) AS run
    ORDER BY run.id DESC LIMIT $8
"""  # noqa: S608 - constants
# Those named that fit all the rest.
IDS_NAMED = f"""
    SELECT id FROM jobs
    WHERE id = ANY ($9::bigint[]) AND id < $7::bigint
      AND ($10::text IS NULL OR community = $10) AND ($11::text IS NULL OR owner = $11)
      AND {_FITS}
    ORDER BY id DESC LIMIT $8
"""  # noqa: S608 - constants
# Who ever submitted something for a group.
OWNERS = """
    SELECT DISTINCT community, owner FROM task_queues
    WHERE community = ANY ($1::text[]) AND "group" = $2 LIMIT $3
"""
ROWS = """
    SELECT id, name, state, community, "group", owner, priority, attempt, submitted, changed, outcome, exit_code,
           reason, site, stamp, parent, parameters, queue
    FROM jobs_whole WHERE id = ANY ($1::bigint[]) ORDER BY id DESC
"""
# How many are in each state, by one look at the index for each community (or owner) and stage. Only of those that are
# out the rows tell the state.
COUNTS_OF_COMMUNITIES = """
    SELECT at.stage AS state, run.count
    FROM unnest($1::text[]) AS one(community) CROSS JOIN unnest($2::text[]) AS at(stage) CROSS JOIN LATERAL (
        SELECT count(*) FROM jobs WHERE community = one.community AND stage = at.stage AND stage <> 'out'
    ) AS run
    UNION ALL
    SELECT state, count(*) FROM jobs WHERE community = ANY ($1) AND stage = 'out' GROUP BY state
"""
COUNTS_OF_OWNERS = """
    SELECT at.stage AS state, run.count
    FROM unnest($1::text[], $2::text[]) AS one(community, owner) CROSS JOIN unnest($3::text[]) AS at(stage)
    CROSS JOIN LATERAL (
        SELECT count(*) FROM jobs
        WHERE community = one.community AND owner = one.owner AND stage = at.stage AND stage <> 'out'
    ) AS run
    UNION ALL
    SELECT state, count(*) FROM jobs
    WHERE (community, owner) IN (SELECT * FROM unnest($1, $2)) AND stage = 'out'
    GROUP BY state
"""
# Where every row has to be looked at anyway.
FITTING_OF_COMMUNITIES = f"""
    SELECT state, count(*) FROM jobs WHERE community = ANY ($7::text[]) AND {_FITS} GROUP BY state
"""  # noqa: S608 - constants
FITTING_OF_OWNERS = f"""
    SELECT state, count(*) FROM jobs
    WHERE (community, owner) IN (SELECT * FROM unnest($7::text[], $8::text[])) AND {_FITS}
    GROUP BY state
"""  # noqa: S608 - constants
COUNTS_NAMED = "SELECT state, count(*) FROM jobs WHERE id = ANY ($1::bigint[]) GROUP BY state"


@dataclass(frozen=True)
class _Scope:
    """Whose jobs a selection may mean: those of communities, or, when `owners` are given, of one each of them."""

    communities: list[str]
    owners: list[str] | None = None


async def page(
    db: Database, community: str | None, selection: Selection, cursor: str | None, limit: int, counts: bool
) -> JobPage:
    ids = await _ids(db, community, selection, before_cursor(cursor), limit + 1)
    shown = ids[:limit]
    rows = await db.fetch(ROWS, shown) if shown else []
    return JobPage(
        jobs=tuple(job_view(row) for row in rows),
        next=str(shown[-1]) if len(ids) > limit else None,
        counts=await _counts(db, community, selection) if counts else {},
    )


async def select(db: Database, community: str | None, selection: Selection) -> list[int]:
    """The ids of all jobs meant, newest first. Raises ``too-large``, and ``invalid`` for a selection of everything."""
    check_selection(selection)
    ids = await _ids(db, community, selection, END, MAX_SELECTED + 1)
    check_selected(ids)
    return ids


async def counts(db: Database) -> dict[str, int]:
    """Of all jobs, for the metrics."""
    return _summed(await db.fetch(COUNTS_OF_COMMUNITIES, await waiting.communities(db), _stages(())))


async def _ids(db: Database, community: str | None, selection: Selection, before: int, limit: int) -> list[int]:
    """Newest first, at most `limit`."""
    if selection.ids:
        among = (list(selection.ids), community, selection.owner)
        return [row["id"] for row in await db.fetch(IDS_NAMED, *_filters(selection), before, limit, *among)]
    common = (_untold(selection), *_of_rows(selection), before, limit)
    scope, stages = await _scope(db, community, selection), _stages(selection.states)
    if scope.owners is None:
        rows = await db.fetch(IDS_OF_COMMUNITIES, *common, scope.communities, stages)
    else:
        rows = await db.fetch(IDS_OF_OWNERS, *common, scope.communities, scope.owners, stages)
    return [row["id"] for row in rows]


async def _counts(db: Database, community: str | None, selection: Selection) -> dict[str, int]:
    if selection.ids:
        ids = await _ids(db, community, selection, END, len(selection.ids))
        return _summed(await db.fetch(COUNTS_NAMED, ids))
    scope, stages = await _scope(db, community, selection), _stages(selection.states)
    if looks_at_rows(selection):
        common = _filters(selection)
        if scope.owners is None:
            return _summed(await db.fetch(FITTING_OF_COMMUNITIES, *common, scope.communities))
        return _summed(await db.fetch(FITTING_OF_OWNERS, *common, scope.communities, scope.owners))
    if scope.owners is None:
        rows = await db.fetch(COUNTS_OF_COMMUNITIES, scope.communities, stages)
    else:
        rows = await db.fetch(COUNTS_OF_OWNERS, scope.communities, scope.owners, stages)
    return {state: count for state, count in _summed(rows).items() if JobState(state) in (selection.states or JobState)}


def _filters(selection: Selection) -> Sequence[object]:
    """The first parameters of the statements that have a filter."""
    return (sorted(set(selection.states)) or None, *_of_rows(selection))


def _of_rows(selection: Selection) -> Sequence[object]:
    return (selection.group, selection.name, selection.site, selection.queue, selection.submitted_since)


def _untold(selection: Selection) -> list[str] | None:
    """The states to look for in the rows, when the stages do not say it all."""
    states = set(selection.states)
    return sorted(states) if states & LEASED and not states >= LEASED else None


def _stages(states: Sequence[JobState]) -> list[str]:
    return sorted({"out" if state in LEASED else state.value for state in states or JobState})


async def _scope(db: Database, community: str | None, selection: Selection) -> _Scope:
    among = await waiting.communities(db) if community is None else [community]
    if selection.owner is not None:
        return _Scope(among, [selection.owner] * len(among))
    if selection.group is not None:
        owners = await db.fetch(OWNERS, among, selection.group, FEW_OWNERS + 1)
        if len(owners) <= FEW_OWNERS:
            return _Scope([row["community"] for row in owners], [row["owner"] for row in owners])
    return _Scope(among)


def _summed(rows: Sequence[Row]) -> dict[str, int]:
    result: dict[str, int] = {}
    for row in rows:
        if row["count"]:
            result[row["state"]] = result.get(row["state"], 0) + row["count"]
    return result
