"""What follows when attempts or pilots have ended: the matcher, the orders, the logs and those who watch are told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from central.events import JobChanged, PilotChanged
from central.records import Ended, PilotRow, Swept
from pilot.errors import PilotageError
from pilot.states import PilotReason, PilotState

if TYPE_CHECKING:
    from central.app import Central

log = logging.getLogger(__name__)
#: Seconds after its goodbye in which a pilot's last chunks may still come.
LINGER = 10.0


def ended(central: Central, row: PilotRow, ends: Sequence[Ended]) -> None:
    """Attempts of one pilot have ended; jobs that wait again are counted again."""
    if not ends:
        return
    requeued = [end.requeued for end in ends if end.requeued]
    if requeued:
        central.dispatcher.jobs_requeued(requeued)
    else:
        central.dispatcher.attempts_ended()
    central.dispatcher.attempts_ended_on(row.site, row.host)
    for end in ends:
        central.orders.attempt_ended(row.stamp, end.job, end.attempt)
        central.inputs.forget(end.job, end.attempt)
    events = [JobChanged(end.job, end.state, end.attempt) for end in ends]
    central.job_changes.tell(row.communities, events, central.background)


async def drained(central: Central, row: PilotRow, why: str = "") -> None:
    """A pilot takes no new jobs any more."""
    await central.store.drain(row.stamp)
    central.roster.stale(row.stamp)
    central.dispatcher.draining(row.stamp)
    central.hub.publish(row.communities, PilotChanged(row.stamp, PilotState.DRAINING, why))


def gone(central: Central, row: PilotRow, state: PilotState, reason: PilotReason) -> None:
    """A pilot is over."""
    stamp = row.stamp
    central.roster.stale(stamp)
    central.orders.forget(stamp)
    central.dispatcher.draining(stamp)
    central.presence.forget(stamp)
    central.hub.publish(row.communities, PilotChanged(stamp, state, reason.value))
    central.background(_close_logs(central, stamp))


def swept(central: Central, found: Swept) -> None:
    """The sweep has found pilots silent, or leases that ran out; the matcher has been told already."""
    for stamp in found.silent:
        central.roster.stale(stamp)
    for end in found.ended:
        central.inputs.forget(end.job, end.attempt)
    central.background(_tell(central, found))


async def _tell(central: Central, found: Swept) -> None:
    """Tell those who watch, each of the own community."""
    try:
        for stamp in found.silent:
            row = await central.roster.row(stamp)
            central.hub.publish(row.communities, PilotChanged(stamp, row.state))
        for end in found.ended:
            job = (await central.store.job(None, end.job)).job
            central.hub.publish((job.community,), JobChanged(end.job, end.state, end.attempt))
    except PilotageError as error:
        log.warning("Those who watch were not told of a sweep", extra={"fields": {"error": error}})


async def _close_logs(central: Central, stamp: str) -> None:
    """Join the chunks of its streams, once the last of them have had time to come."""
    await central.clock.sleep(LINGER)
    try:
        await central.logs.close_all(stamp)
    except (OSError, PilotageError) as error:
        log.warning("The log streams of a pilot stay in chunks", extra={"fields": {"stamp": stamp, "error": error}})
