"""What a director does about a pilot, from its row and the computing element's word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.directors.follow import GOODBYE_GRACE, LIFE_GRACE, UNKNOWN_GRACE, Action, Step, follow
from central.elements.port import Listed, Standing
from pilot.errors import ExitCode
from pilot.states import PilotReason, PilotState
from tests.unit.pilot_rows import STAMP, pilot

ROW = pilot(
    state=PilotState.SUBMITTED,
    created=1000.0,
    secret_expires=5000.0,
    epoch=0,
    enrolled=None,
    last_seen=None,
    reference=STAMP,
)
RUNNING = replace(ROW, state=PilotState.RUNNING, enrolled=1010.0, last_seen=1100.0)
LOST = Action(Step.END, PilotState.LOST, PilotReason.GONE)
NEVER = Action(Step.END, PilotState.FAILED, PilotReason.NEVER_CALLED)


def at(standing: Standing, exit_code: int | None = None) -> Listed:
    return Listed(STAMP, STAMP, standing, exit_code)


@pytest.mark.parametrize("state", [PilotState.PLANNED, PilotState.SUBMITTING])
def test_a_submission_cut_short_is_looked_for_first(state: PilotState) -> None:
    """After a crash the stamp is adopted where the computing element has it, and submitted again only if not."""
    row = replace(ROW, state=state)
    assert follow(row, at(Standing.RUNNING), 1001.0, 0.0).step is Step.ADOPT
    assert follow(row, None, 1001.0, 0.0).step is Step.RESUBMIT


def test_a_list_that_lags_is_waited_for() -> None:
    """Where lists lag, a missing stamp proves nothing until the lag has passed."""
    row = replace(ROW, state=PilotState.SUBMITTING)
    assert follow(row, None, 1030.0, 60.0).step is Step.NOTHING
    assert follow(row, None, 1060.0, 60.0).step is Step.RESUBMIT


def test_ended_without_calling() -> None:
    """A pilot that ended at the computing element and never enrolled is failed: never-called."""
    assert follow(ROW, at(Standing.ENDED, 92), 1001.0, 0.0) == NEVER


def test_goodbye_may_still_come() -> None:
    """An enrolled pilot whose process ended is lost only after a silence in which its goodbye could have come."""
    assert follow(RUNNING, at(Standing.ENDED), 1100.0 + GOODBYE_GRACE - 1, 0.0).step is Step.NOTHING
    assert follow(RUNNING, at(Standing.ENDED), 1100.0 + GOODBYE_GRACE + 1, 0.0) == LOST


@pytest.mark.parametrize("standing", [Standing.UNKNOWN, None])
def test_unknown_is_not_gone(standing: Standing | None) -> None:
    """No answer of the computing element, however often, ends a pilot before its grace."""
    entry = at(standing) if standing else None
    assert follow(RUNNING, entry, 1100.0 + UNKNOWN_GRACE - 1, 0.0).step is Step.NOTHING


def test_not_known_for_long_is_gone() -> None:
    """A pilot that the computing element does not know and nobody heard for an hour is lost."""
    assert follow(RUNNING, None, 1100.0 + UNKNOWN_GRACE + 1, 0.0) == LOST


def test_too_old_is_ended_from_outside() -> None:
    """A pilot past its end of life is cancelled at the computing element."""
    row = replace(RUNNING, ends=2000.0, last_seen=2000.0 + LIFE_GRACE)
    assert follow(row, at(Standing.RUNNING), 2000.0 + LIFE_GRACE + 1, 0.0).step is Step.CANCEL


def test_too_late_to_enrol() -> None:
    """A submission whose secret has expired in the queue is withdrawn."""
    assert follow(ROW, at(Standing.QUEUED), 5001.0, 0.0).step is Step.CANCEL


def test_nobody_knows_it() -> None:
    """A submission of ours without a row is ended, and an ended one cleared away."""
    assert follow(None, at(Standing.RUNNING), 0.0, 0.0).step is Step.CANCEL
    assert follow(None, at(Standing.ENDED), 0.0, 0.0).step is Step.FORGET


def test_over_is_cleared_unless_results_are_left() -> None:
    """What a finished pilot left behind is removed, except where its spool still holds results."""
    row = replace(ROW, state=PilotState.DONE)
    assert follow(row, at(Standing.ENDED, 0), 0.0, 0.0).step is Step.FORGET
    assert follow(row, at(Standing.ENDED, ExitCode.UNDELIVERED), 0.0, 0.0).step is Step.LEAVE
    assert follow(row, at(Standing.UNKNOWN), 0.0, 0.0).step is Step.NOTHING


def test_one_that_was_given_up_and_turns_up_is_ended() -> None:
    """A pilot that is over and still there is cancelled: at once when it never enrolled, else after time to end."""
    withdrawn = replace(ROW, state=PilotState.FAILED, ended=1200.0)
    assert follow(withdrawn, at(Standing.QUEUED), 1201.0, 0.0).step is Step.CANCEL
    goodbye = replace(RUNNING, state=PilotState.DONE, ended=1200.0)
    assert follow(goodbye, at(Standing.RUNNING), 1201.0, 0.0).step is Step.NOTHING
    assert follow(goodbye, at(Standing.RUNNING), 1201.0 + LIFE_GRACE, 0.0).step is Step.CANCEL


def test_a_list_lags_behind_the_last_submission() -> None:
    """The lag counts from when the pilot was handed over last, and not from when it was written down."""
    row = replace(ROW, state=PilotState.SUBMITTING)
    assert follow(row, None, 1100.0, 60.0, 1050.0).step is Step.NOTHING
    assert follow(row, None, 1111.0, 60.0, 1050.0).step is Step.RESUBMIT


def test_an_intent_that_nobody_wants_ends() -> None:
    """A pilot that the computing element never took is closed when its secret is over, and not kept for ever."""
    row = replace(ROW, state=PilotState.SUBMITTING)
    ended = Action(Step.END, PilotState.CANCELLED, PilotReason.CANCELLED)
    assert follow(row, None, 5001.0, 60.0) == ended
