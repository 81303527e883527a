"""What to do about one pilot, given its row and what the computing element says of it: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from central.elements.port import Listed, Standing
from central.records import PilotRow
from pilot.errors import ExitCode
from pilot.states import LIVE_PILOT, PilotReason, PilotState

#: Seconds for which an enrolled pilot must be silent before "ended" at the computing element is believed: its goodbye
#: may still be on the way, and a pilot may outlive the wrapper that the computing element watches.
GOODBYE_GRACE = 30.0
#: Seconds before "the computing element does not know it" is taken for "gone".
UNKNOWN_GRACE = 3600.0
#: Seconds beyond its end of life after which a pilot is ended from outside.
LIFE_GRACE = 300.0


class Step(Enum):
    """What the director does next with a pilot."""

    NOTHING = "nothing"
    ADOPT = "adopt"  # it was taken, the answer was lost
    RESUBMIT = "resubmit"  # it was not taken: once more, with a new secret, when a pilot is wanted
    END = "end"  # close it with the state and reason given
    CANCEL = "cancel"  # end it at the computing element
    FORGET = "forget"  # it is over: fetch what it printed, and remove what is kept of it there
    DRAIN = "drain"  # of no use any more: no new jobs, and then its end
    LEAVE = "leave"  # the same, but what it could not deliver is still there, and stays for a person


@dataclass(frozen=True)
class Action:
    step: Step
    state: PilotState | None = None
    reason: PilotReason | None = None


NOTHING = Action(Step.NOTHING)


def follow(
    row: PilotRow | None, listed: Listed | None, now: float, lag: float, handed_over: float | None = None
) -> Action:
    """Decide on one pilot. `row` is None for a submission of ours that nobody knows, `listed` when the computing
    element's list does not have it; `lag` is how late that list may be, in seconds, and `handed_over` when the pilot
    may have been submitted last (None: when it was written down)."""
    if row is None:
        return Action(Step.CANCEL if listed and listed.standing is not Standing.ENDED else Step.FORGET)
    if row.state not in LIVE_PILOT:
        return over(row, listed, now)
    standing = listed.standing if listed else None
    if row.state in (PilotState.PLANNED, PilotState.SUBMITTING):
        return _under_way(row, listed, now, lag, row.created if handed_over is None else handed_over)
    if row.ends is not None and now > row.ends + LIFE_GRACE and standing is Standing.RUNNING:
        return Action(Step.CANCEL)
    if row.state is PilotState.SUBMITTED:
        return _never_called(row, standing, now)
    heard = max(row.last_seen or 0.0, row.enrolled or 0.0)
    if standing is Standing.ENDED and now - heard > GOODBYE_GRACE:
        return Action(Step.END, PilotState.LOST, PilotReason.GONE)
    if standing is None and now - heard > UNKNOWN_GRACE:
        return Action(Step.END, PilotState.LOST, PilotReason.GONE)
    return NOTHING


def _under_way(row: PilotRow, listed: Listed | None, now: float, lag: float, handed_over: float) -> Action:
    if listed:
        return Action(Step.ADOPT)
    # One that is only planned was never handed over: the journal says so before that is done.
    if row.state is not PilotState.PLANNED and now - handed_over < lag:
        return NOTHING
    if now > row.secret_expires:  # nobody wanted it for so long
        return Action(Step.END, PilotState.CANCELLED, PilotReason.CANCELLED)
    return Action(Step.RESUBMIT)


def over(row: PilotRow, listed: Listed | None, now: float) -> Action:
    """Decide on a pilot that is closed."""
    if listed is None or listed.standing is Standing.UNKNOWN:
        return NOTHING
    if listed.standing is not Standing.ENDED:
        # One that has said goodbye is ending. Others have turned up again after they were given up, and can do nothing.
        grace = 0.0 if row.enrolled is None else LIFE_GRACE
        return Action(Step.CANCEL) if now - (row.ended or row.created) > grace else NOTHING
    return Action(Step.LEAVE if listed.exit_code == ExitCode.UNDELIVERED else Step.FORGET)


def _never_called(row: PilotRow, standing: Standing | None, now: float) -> Action:
    if standing is Standing.ENDED:
        return Action(Step.END, PilotState.FAILED, PilotReason.NEVER_CALLED)
    if now > row.secret_expires:  # it could not enrol any more
        return Action(Step.CANCEL) if standing else Action(Step.END, PilotState.FAILED, PilotReason.NEVER_CALLED)
    if standing is None and now - row.created > UNKNOWN_GRACE:
        return Action(Step.END, PilotState.FAILED, PilotReason.NEVER_CALLED)
    return NOTHING
