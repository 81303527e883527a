"""What to do about one virtual machine, given its pilot's row and what its cloud says of it: a pure decision.

It differs from what is done about jobs of a batch system (`central/directors/follow.py`) in this: a stamp is handed
over once, since a machine that turns up late would be paid for beside the other; a machine that is of no use is paid
for, so that it is drained by its queue's policy or when it is too old; and nothing is deleted before its pilot has been
closed, with what the machine's console had to say, nor while that pilot may hold a lease.
"""

from __future__ import annotations

from central.directors.follow import NOTHING, Action, Step, over
from central.elements.port import Listed, Standing
from central.records import PilotRow
from pilot.states import LIVE_PILOT, PilotReason, PilotState

#: Seconds of silence, or those of a lease where they are more, after which it is believed that a machine is off or
#: gone: three heartbeats of a large installation.
SILENT = 180.0
#: Seconds of silence after which a machine that its cloud calls running hangs, or is cut off for good.
HANGS = 3600.0
#: Seconds for which a machine with our mark that no journal knows is left alone: the journal may be behind.
STRANGE = 300.0
#: Seconds after it has enrolled in which a machine's pilot must have had a job, where its queue ends those without.
BUSY_BY = 1800.0

_GONE = Action(Step.END, PilotState.LOST, PilotReason.GONE)
_NEVER = Action(Step.END, PilotState.FAILED, PilotReason.NEVER_CALLED)


def follow_machine(
    row: PilotRow | None,
    listed: Listed | None,
    now: float,
    lag: float,
    handed_over: float,
    *,
    elastic: bool,
    began: float = 0.0,
) -> Action:
    """Decide on one machine. `row` is None for one of ours that nobody knows, `listed` when the cloud does not list
    it; `lag` is how late that list may be, in seconds, `handed_over` when the cloud may have been asked for it,
    `elastic` whether machines without jobs are to end, and `began` since when this central leads: pilots that could
    tell nobody until then are not silent for that."""
    if row is None:
        return _strange(listed, now, handed_over)
    if row.state not in LIVE_PILOT:
        return _over(row, listed, now)
    if row.state in (PilotState.PLANNED, PilotState.SUBMITTING):
        return _under_way(row, listed, now, lag, handed_over)
    standing = listed.standing if listed else None
    if row.state is PilotState.SUBMITTED:
        # Past its deadline it could not enrol any more. It is closed first: then its console can still be read.
        return _NEVER if standing is Standing.ENDED or now > row.secret_expires else NOTHING
    silent = now - max(row.last_seen or 0.0, row.enrolled or 0.0, began)
    if silent > _patience(standing, row, lag):
        return _GONE
    return _of_no_use(row, now, elastic)


def _patience(standing: Standing | None, row: PilotRow, lag: float) -> float:
    """Seconds of silence after which a pilot is given up."""
    if standing in (Standing.RUNNING, Standing.QUEUED, Standing.UNKNOWN):
        return max(row.lease, HANGS)
    # One list may leave it out, or call it off when it is only cut off: its leases are over by then.
    return max(row.lease, SILENT) + (0.0 if standing else lag)


def _strange(listed: Listed | None, now: float, seen: float) -> Action:
    if listed is None or now - seen < STRANGE:
        return NOTHING
    return Action(Step.FORGET if listed.standing is Standing.ENDED else Step.CANCEL)


def _over(row: PilotRow, listed: Listed | None, now: float) -> Action:
    """One of a closed pilot. In a state that means nothing, or in that of being deleted, it may stay for ever."""
    if listed and listed.standing is Standing.UNKNOWN and now - (row.ended or row.created) > HANGS:
        return Action(Step.CANCEL)
    return over(row, listed, now)


def _under_way(row: PilotRow, listed: Listed | None, now: float, lag: float, handed_over: float) -> Action:
    if listed:
        return Action(Step.ADOPT)
    never_asked = row.state is PilotState.PLANNED
    if never_asked and now <= row.secret_expires:
        return Action(Step.RESUBMIT)
    if never_asked or now - handed_over >= lag:
        return Action(Step.END, PilotState.CANCELLED, PilotReason.CANCELLED)
    return NOTHING


def _of_no_use(row: PilotRow, now: float, elastic: bool) -> Action:
    """Have it drain: it ends by itself when nothing runs there any more."""
    if row.draining:
        return NOTHING
    too_old = row.ends is not None and now > row.ends
    idle = elastic and not row.leases and row.enrolled is not None and now - row.enrolled > BUSY_BY
    return Action(Step.DRAIN) if too_old or idle else NOTHING
