"""What earlier attempts of a job have saved: it is in the reports of their ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from central.store import codec
from pilot.protocol import InputFile

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

ENDS = """
    SELECT job, report FROM attempts
    WHERE job = ANY ($1::bigint[]) AND outcome = 'preempted' AND report IS NOT NULL
    ORDER BY attempt DESC
"""


async def get(db: Database, jobs: Collection[int]) -> Mapping[int, tuple[InputFile, ...]]:
    """What each of these jobs goes on from; one that has saved nothing is left out."""
    if not jobs:
        return {}
    ends: dict[int, list[str]] = defaultdict(list)
    for row in await db.fetch(ENDS, sorted(jobs)):
        ends[row["job"]].append(row["report"])
    found = {job: codec.checkpoint(reports) for job, reports in ends.items()}
    return {job: files for job, files in found.items() if files}
