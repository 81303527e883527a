"""The ends of pilots that no director follows: those of external queues, which others start, and those of queues that
are not there any more.

Nobody can be asked about them. One that was let in and never enrolled is closed, and one that has been silent for long.
"""

from __future__ import annotations

from central import aftermath
from central.app import Central
from central.configuration.settings import EXTERNAL
from central.duties import Cycle
from central.records import Note, PilotRow
from central.trust.noting import of_communities
from pilot.states import PilotReason, PilotState

#: Seconds between two looks.
INTERVAL = 60.0
#: Seconds of silence after which a pilot is not expected back, at least: its leases have ended before.
SILENT = 3600.0

End = tuple[PilotState, PilotReason, str]


def end_of(row: PilotRow, now: float) -> End | None:
    """How a live pilot that nobody can be asked about is to be closed; None: it is not."""
    if row.enrolled is None:
        if now <= row.secret_expires:
            return None
        return PilotState.FAILED, PilotReason.NEVER_CALLED, "it was let in, and has not enrolled in time"
    silent = now - max(row.last_seen or 0.0, row.enrolled)
    if row.state is not PilotState.SILENT or silent <= max(SILENT, row.lease):
        return None
    return PilotState.LOST, PilotReason.GONE, f"it has been silent for {silent:.0f} s, and no director follows it"


def cycle(central: Central) -> Cycle:
    """The duty to close them."""

    async def close(epoch: int) -> None:
        store = central.store
        followed = {queue.name for queue in central.settings.queues if queue.kind != EXTERNAL}
        for queue in await store.live_queues():
            if queue not in followed:
                now = await store.now()
                for row in await store.live_pilots(queue):
                    await _close(central, row, now)

    return Cycle("pilots that no director follows", INTERVAL, close)


async def _close(central: Central, row: PilotRow, now: float) -> None:
    end = end_of(row, now)
    if end is None:
        return
    state, reason, message = end
    aftermath.ended(central, row, await central.store.end_pilot(row.stamp, state, reason, message))
    aftermath.gone(central, row, state, reason)
    detail = f"{state.value}: {message}"
    await central.audit.note(
        Note("central", "pilot.end", of_communities(row.communities), "", row.stamp, detail=detail)
    )
