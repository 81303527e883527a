"""What a director does about a virtual machine, from its pilot's row and its cloud's word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.directors.follow import LIFE_GRACE, Action, Step
from central.directors.machines import BUSY_BY, HANGS, SILENT, STRANGE, follow_machine
from central.elements.port import Listed, Standing
from central.records import PilotRow
from pilot.states import PilotReason, PilotState
from tests.unit.pilot_rows import STAMP, pilot

LAG = 60.0
#: The cloud was asked for it at 1000 s, and it may call until 2800 s.
ROW = pilot(
    state=PilotState.SUBMITTED,
    created=1000.0,
    secret_expires=2800.0,
    epoch=0,
    enrolled=None,
    last_seen=None,
    reference="m1",
)
RUNNING = replace(ROW, state=PilotState.RUNNING, enrolled=1100.0, last_seen=1200.0, leases=1)
LOST = Action(Step.END, PilotState.LOST, PilotReason.GONE)
NEVER = Action(Step.END, PilotState.FAILED, PilotReason.NEVER_CALLED)
NOT_TAKEN = Action(Step.END, PilotState.CANCELLED, PilotReason.CANCELLED)


def at(standing: Standing) -> Listed:
    return Listed(STAMP, "m1", standing)


def follow(row: PilotRow | None, listed: Listed | None, now: float, *, elastic: bool = True) -> Action:
    return follow_machine(row, listed, now, LAG, 1000.0, elastic=elastic)


def test_a_machine_whose_answer_was_lost_is_adopted() -> None:
    """After a crash or a lost answer the machine that bears the stamp is the pilot's."""
    for state in (PilotState.PLANNED, PilotState.SUBMITTING):
        assert follow(replace(ROW, state=state), at(Standing.QUEUED), 1001.0).step is Step.ADOPT


def test_a_cloud_is_never_asked_twice_for_one_stamp() -> None:
    """What is not there when the list must have it is closed; what was only planned has never been asked for."""
    asked = replace(ROW, state=PilotState.SUBMITTING)
    assert follow(asked, None, 1000.0 + LAG - 1).step is Step.NOTHING
    assert follow(asked, None, 1000.0 + LAG) == NOT_TAKEN
    planned = replace(ROW, state=PilotState.PLANNED)
    assert follow(planned, None, 1001.0).step is Step.RESUBMIT
    assert follow(planned, None, 2801.0) == NOT_TAKEN


def test_one_that_never_called_is_closed_before_it_is_deleted() -> None:
    """Past its boot deadline its pilot is closed, with the machine still there to read the console of; then it goes."""
    assert follow(ROW, at(Standing.RUNNING), 2800.0).step is Step.NOTHING
    for standing in (Standing.QUEUED, Standing.RUNNING, Standing.UNKNOWN):
        assert follow(ROW, at(standing), 2801.0) == NEVER
    assert follow(ROW, None, 2801.0) == NEVER
    closed = replace(ROW, state=PilotState.FAILED, ended=2801.0)
    assert follow(closed, at(Standing.RUNNING), 2802.0).step is Step.CANCEL
    assert follow(closed, at(Standing.ENDED), 2802.0).step is Step.FORGET


def test_one_that_failed_to_boot_is_closed_at_once() -> None:
    """A machine in error, or off before its pilot called, will not call."""
    assert follow(ROW, at(Standing.ENDED), 1010.0) == NEVER


def test_a_cloud_that_says_off_is_believed_when_its_pilot_is_silent() -> None:
    """A machine that is said to be off while its pilot beats, or may hold a lease, goes on."""
    assert follow(RUNNING, at(Standing.ENDED), 1200.0 + RUNNING.lease).step is Step.NOTHING
    assert follow(RUNNING, at(Standing.ENDED), 1200.0 + RUNNING.lease + 1) == LOST
    brief = replace(RUNNING, lease=20)
    assert follow(brief, at(Standing.ENDED), 1200.0 + SILENT).step is Step.NOTHING
    assert follow(brief, at(Standing.ENDED), 1200.0 + SILENT + 1) == LOST


def test_a_list_that_leaves_one_out_ends_nothing_that_holds_a_lease() -> None:
    """One that is not listed is given up when its leases must be over, and not before."""
    assert follow(RUNNING, None, 1200.0 + RUNNING.lease).step is Step.NOTHING
    assert follow(RUNNING, None, 1200.0 + RUNNING.lease + LAG + 1) == LOST


def test_one_that_hangs_is_given_up() -> None:
    """A machine that runs and says nothing for an hour is closed, and ended when its goodbye would have come."""
    assert follow(RUNNING, at(Standing.RUNNING), 1200.0 + HANGS).step is Step.NOTHING
    late = 1200.0 + HANGS + 1
    assert follow(RUNNING, at(Standing.RUNNING), late) == LOST
    closed = replace(RUNNING, state=PilotState.LOST, ended=late)
    assert follow(closed, at(Standing.RUNNING), late + LIFE_GRACE).step is Step.NOTHING
    assert follow(closed, at(Standing.RUNNING), late + LIFE_GRACE + 1).step is Step.CANCEL


def test_pilots_that_nobody_could_hear_are_not_silent() -> None:
    """After an outage of the central, however long, each pilot has as long to call as after any other word of it."""
    back = 1200.0 + 10 * HANGS

    def after(seconds: float, listed: Listed | None) -> Action:
        return follow_machine(RUNNING, listed, back + seconds, LAG, 1000.0, elastic=True, began=back)

    assert after(1.0, at(Standing.RUNNING)).step is Step.NOTHING
    assert after(1.0, at(Standing.ENDED)).step is Step.NOTHING
    assert after(1.0, None).step is Step.NOTHING
    assert after(HANGS + 1, at(Standing.RUNNING)) == LOST
    assert after(RUNNING.lease + 1, at(Standing.ENDED)) == LOST


def test_one_that_hangs_with_a_long_lease_is_given_up_when_that_is_over() -> None:
    """A queue's lease may be longer than the hour after which a machine hangs: its jobs are not given to others."""
    long = replace(RUNNING, lease=7200)
    assert follow(long, at(Standing.RUNNING), 1200.0 + 7200).step is Step.NOTHING
    assert follow(long, at(Standing.RUNNING), 1200.0 + 7201) == LOST


def test_one_of_a_closed_pilot_does_not_stay_in_a_state_that_means_nothing() -> None:
    """A deletion that never comes to its end, or a state that nobody knows, is not waited for without end."""
    closed = replace(RUNNING, state=PilotState.LOST, ended=5000.0)
    assert follow(closed, at(Standing.UNKNOWN), 5000.0 + HANGS).step is Step.NOTHING
    assert follow(closed, at(Standing.UNKNOWN), 5000.0 + HANGS + 1).step is Step.CANCEL


def test_one_without_a_job_drains() -> None:
    """Where a queue ends machines without jobs, one that has had none for half an hour drains, once."""
    idle = replace(RUNNING, leases=0, last_seen=1100.0 + BUSY_BY)
    assert follow(idle, at(Standing.RUNNING), 1100.0 + BUSY_BY).step is Step.NOTHING
    late = 1100.0 + BUSY_BY + 1
    assert follow(idle, at(Standing.RUNNING), late).step is Step.DRAIN
    assert follow(idle, at(Standing.RUNNING), late, elastic=False).step is Step.NOTHING
    assert follow(replace(idle, draining=True), at(Standing.RUNNING), late).step is Step.NOTHING
    assert follow(replace(idle, leases=1), at(Standing.RUNNING), late).step is Step.NOTHING


@pytest.mark.parametrize("elastic", [True, False])
def test_one_that_is_too_old_drains_and_is_never_deleted_while_it_works(elastic: bool) -> None:
    """Past its end of life it gets no new jobs; what runs there is not taken away as long as its pilot beats."""
    old = replace(RUNNING, ends=5000.0, last_seen=5001.0)
    assert follow(old, at(Standing.RUNNING), 5001.0, elastic=elastic).step is Step.DRAIN
    busy = replace(old, draining=True, last_seen=50_000.0)
    assert follow(busy, at(Standing.RUNNING), 50_010.0, elastic=elastic).step is Step.NOTHING


def test_a_machine_that_nobody_knows_has_a_grace() -> None:
    """One with our mark that is in no journal is left alone for some minutes, and then ended or removed."""
    assert follow(None, at(Standing.RUNNING), 1000.0 + STRANGE - 1).step is Step.NOTHING
    assert follow(None, at(Standing.RUNNING), 1000.0 + STRANGE).step is Step.CANCEL
    assert follow(None, at(Standing.ENDED), 1000.0 + STRANGE).step is Step.FORGET
    assert follow(None, None, 9000.0).step is Step.NOTHING
