"""Lists of jobs: a page, newest first, and all that a selection means.

A page is merged from one short run over an index for each community and state, so that its cost does not grow with the
number of jobs; other filters look at the rows of those runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from central.store import codec
from central.store.rows import job_view
from central.store.selecting import END, MAX_SELECTED, before_cursor, check_selected, check_selection, looks_at_rows
from central.store.sqlite import waiting
from pilot.states import JobState
from pilot.views import JobPage, Selection

# What fits a selection's group, name, place and time; NULL: any. A job that waits or is held is nowhere.
_FITS = """
    (:group IS NULL OR "group" = :group)
      AND (:name IS NULL OR substr(name, 1, length(:name)) = :name)
      AND (:since IS NULL OR submitted >= :since)
      AND (:site IS NULL OR state NOT IN ('waiting', 'held') AND :site = (
          SELECT site FROM attempts WHERE attempts.job = jobs.id AND attempts.attempt = jobs.attempt))
      AND (:queue IS NULL OR state NOT IN ('waiting', 'held') AND :queue = (
          SELECT pilots.queue FROM attempts JOIN pilots ON pilots.id = attempts.pilot
          WHERE attempts.job = jobs.id AND attempts.attempt = jobs.attempt))
"""
# Newest first, in one community and state.
IDS_IN_STATE = f"""
    SELECT id FROM jobs
    WHERE community = :community AND state = :state AND id < :before
      AND (:owner IS NULL OR owner = :owner)
      AND {_FITS}
    ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
# Newest first, of one owner; the plus keeps SQLite on the owner's index.
IDS_OF_OWNER = f"""
    SELECT id FROM jobs
    WHERE community = :community AND owner = :owner AND id < :before
      AND +state IN (SELECT value FROM json_each(:states))
      AND {_FITS}
    ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
# Those named that fit all the rest.
IDS_NAMED = f"""
    SELECT id FROM jobs
    WHERE id IN (SELECT value FROM json_each(:ids)) AND id < :before
      AND (:community IS NULL OR community = :community)
      AND +state IN (SELECT value FROM json_each(:states))
      AND (:owner IS NULL OR owner = :owner)
      AND {_FITS}
    ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
# How many of a community are in each state.
COUNTS = f"""
    SELECT state, count(*) FROM jobs
    WHERE community = :community
      AND (:owner IS NULL OR owner = :owner)
      AND {_FITS}
    GROUP BY state
"""  # noqa: S608 - constants
# How many of those with these ids are in each state.
STATES_OF = "SELECT state, count(*) FROM jobs WHERE id IN (SELECT value FROM json_each(?)) GROUP BY state"
ROWS = """
    SELECT id, name, state, community, "group", owner, priority, attempt, submitted, changed, outcome, exit_code,
           reason, site, stamp, parent, parameters, queue
    FROM jobs_whole WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id DESC
"""
# All jobs, as they are counted while they move: for the metrics, and for pages without a filter.
ALL_COUNTS = """
    SELECT state, sum(jobs) FROM job_counts
    WHERE :community IS NULL OR community = :community
    GROUP BY state HAVING sum(jobs) > 0
"""


def page(
    db: sqlite3.Connection, community: str | None, selection: Selection, cursor: str | None, limit: int, counts: bool
) -> JobPage:
    ids = _ids(db, community, selection, before_cursor(cursor), limit + 1)
    shown = ids[:limit]
    rows = db.execute(ROWS, (codec.text(shown),))
    return JobPage(
        jobs=tuple(job_view(row) for row in rows),
        next=str(shown[-1]) if len(ids) > limit else None,
        counts=_counts(db, community, selection) if counts else {},
    )


def select(db: sqlite3.Connection, community: str | None, selection: Selection) -> list[int]:
    """The ids of all jobs meant, newest first. Raises ``too-large``, and ``invalid`` for a selection of everything."""
    check_selection(selection)
    ids = _ids(db, community, selection, END, MAX_SELECTED + 1)
    check_selected(ids)
    return ids


def counts(db: sqlite3.Connection, community: str | None = None) -> dict[str, int]:
    """How many jobs, of one community or of all, are in each state."""
    return dict(db.execute(ALL_COUNTS, {"community": community}).fetchall())


def _filters(selection: Selection) -> dict[str, Any]:
    """The selection's own parameters of every statement above."""
    return {
        "owner": selection.owner,
        "group": selection.group,
        "name": selection.name,
        "site": selection.site,
        "queue": selection.queue,
        "since": selection.submitted_since,
    }


def _ids(db: sqlite3.Connection, community: str | None, selection: Selection, before: int, limit: int) -> list[int]:
    """Newest first, at most `limit`."""
    states = sorted(set(selection.states or JobState))
    values = {
        **_filters(selection),
        "community": community,
        "before": before,
        "limit": limit,
        "ids": codec.text(selection.ids),
        "states": codec.text(states),
    }
    if selection.ids:
        return _column(db, IDS_NAMED, values)
    among = waiting.communities(db) if community is None else [community]
    if selection.owner is not None:
        runs = [_column(db, IDS_OF_OWNER, {**values, "community": one}) for one in among]
    else:
        runs = [
            _column(db, IDS_IN_STATE, {**values, "community": one, "state": state.value})
            for one in among
            for state in states
        ]
    return list(islice(merge(*runs, reverse=True), limit))


def _counts(db: sqlite3.Connection, community: str | None, selection: Selection) -> dict[str, int]:
    if selection.ids:
        ids = _ids(db, community, selection, END, len(selection.ids))
        return dict(db.execute(STATES_OF, (codec.text(ids),)).fetchall())
    if selection.owner is None and not looks_at_rows(selection):
        states = selection.states or tuple(JobState)
        return {state: count for state, count in counts(db, community).items() if JobState(state) in states}
    result: dict[str, int] = {}
    for one in waiting.communities(db) if community is None else [community]:
        for state, count in db.execute(COUNTS, {**_filters(selection), "community": one}):
            if not selection.states or JobState(state) in selection.states:
                result[state] = result.get(state, 0) + count
    return result


def _column(db: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> list[int]:
    rows: Sequence[Any] = db.execute(statement, values).fetchall()
    return [row[0] for row in rows]
