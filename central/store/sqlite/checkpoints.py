"""What earlier attempts of a job have saved: it is in the reports of their ends."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection

from central.store import codec

ENDS = """
    SELECT job, report FROM attempts
    WHERE job IN (SELECT value FROM json_each(?)) AND outcome = 'preempted' AND report IS NOT NULL
    ORDER BY attempt DESC
"""


def ends(db: sqlite3.Connection, jobs: Collection[int]) -> dict[int, list[str]]:
    """The reports of the attempts of these jobs that were preempted, the newest first."""
    found: dict[int, list[str]] = defaultdict(list)
    if jobs:
        for job, report in db.execute(ENDS, (codec.text(sorted(jobs)),)).fetchall():
            found[job].append(report)
    return found
