"""The pilots that are sent to try a queue: one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.people import SiteAdmins
from central.records import NewPilot
from central.store.decide import check_stop, tested_already
from central.store.postgres import life, pauses, pilots
from pilot.states import LIVE_PILOT

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

LIVING = """
    SELECT stamp FROM queue_tests JOIN pilots USING (stamp)
    WHERE queue_tests.queue = $1 AND queue_tests.site = $2 AND pilots.state = ANY ($3::text[])
"""
NEWEST = """
    INSERT INTO queue_tests (queue, site, stamp) VALUES ($1, $2, $3)
    ON CONFLICT (queue, site) DO UPDATE SET stamp = excluded.stamp
"""


async def plan(db: Database, now: float, pilot: NewPilot, admins: SiteAdmins | None) -> None:
    await db.execute(pauses.ALONE)
    for stop in await pauses.pauses(db, now):
        if stop.stops(pilot.queue, pilot.site):
            check_stop(stop, admins)
    living = await db.fetchval(LIVING, pilot.queue, pilot.site, sorted(LIVE_PILOT))
    if living not in (None, pilot.stamp):
        raise tested_already(pilot.queue, living)
    await pilots.plan(db, now, pilot)
    await db.execute(NEWEST, pilot.queue, pilot.site, pilot.stamp)
    await life.drain(db, now, pilot.stamp)
