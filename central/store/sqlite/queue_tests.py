"""The pilots that are sent to try a queue: one at a time."""

from __future__ import annotations

import sqlite3

from central.people import SiteAdmins
from central.records import NewPilot
from central.store import codec
from central.store.decide import check_stop, tested_already
from central.store.sqlite import life, pauses, pilots
from pilot.states import LIVE_PILOT

LIVING = """
    SELECT stamp FROM queue_tests JOIN pilots USING (stamp)
    WHERE queue_tests.queue = ? AND queue_tests.site = ? AND pilots.state IN (SELECT value FROM json_each(?))
"""
NEWEST = """
    INSERT INTO queue_tests (queue, site, stamp) VALUES (?, ?, ?)
    ON CONFLICT (queue, site) DO UPDATE SET stamp = excluded.stamp
"""


def plan(db: sqlite3.Connection, now: float, pilot: NewPilot, admins: SiteAdmins | None) -> None:
    for stop in pauses.pauses(db, now):
        if stop.stops(pilot.queue, pilot.site):
            check_stop(stop, admins)
    living = db.execute(LIVING, (pilot.queue, pilot.site, codec.text(sorted(LIVE_PILOT)))).fetchone()
    if living is not None and living["stamp"] != pilot.stamp:
        raise tested_already(pilot.queue, living["stamp"])
    pilots.plan(db, now, pilot)
    db.execute(NEWEST, (pilot.queue, pilot.site, pilot.stamp))
    life.drain(db, now, pilot.stamp)
