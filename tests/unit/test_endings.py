"""Reasons, exit codes, and what becomes of attempts that the agent left behind."""

from pathlib import Path

import pytest

from pilot.endings import FORSAKEN, Ending, forsaken
from pilot.errors import ExitCode
from pilot.states import FAULTS, Outcome, PilotReason

#: Reasons that are given to pilots by others: they never end with them themselves.
NOT_OURS = {
    PilotReason.NEVER_CALLED,
    PilotReason.SUBMIT_FAILED,
    PilotReason.CANCELLED,
    PilotReason.GONE,
}


@pytest.mark.parametrize("reason", sorted(set(PilotReason) - NOT_OURS))
def test_exit_codes(reason: PilotReason) -> None:
    """A pilot that ends with a fault has an exit code of its own, one that ends well has zero; a signal is neither."""
    code = Ending(reason).exit_code
    if reason is PilotReason.SIGNAL:
        assert code is ExitCode.PREEMPTED
    else:
        assert (code is ExitCode.DONE) == (reason not in FAULTS)
        assert (code is ExitCode.INTERNAL) == (reason is PilotReason.INTERNAL)


@pytest.mark.parametrize(
    ("silent", "running", "results", "ends"),
    [
        (599.0, False, False, False),
        (601.0, False, False, True),
        (10 * FORSAKEN, True, False, False),
        (FORSAKEN - 1, False, True, False),
        (FORSAKEN + 1, False, True, True),
    ],
)
def test_a_central_that_is_gone_for_good(silent: float, running: bool, results: bool, ends: bool) -> None:
    """Without a central a pilot ends: at once with its leases, after a day with results, never under a payload."""
    assert forsaken(silent, 600.0, running, results) is ends


def test_who_is_to_blame() -> None:
    """What was stopped for the machine's owner was preempted; what a dead agent left is a fault of the node."""
    assert Ending(PilotReason.SIGNAL).outcome is Outcome.PREEMPTED
    assert Ending(PilotReason.AGENT_DIED).outcome is Outcome.NODE_FAULT
    assert Ending(PilotReason.INTERNAL).outcome is Outcome.NODE_FAULT


def test_every_reason_is_explained() -> None:
    """Each reason for which a pilot ends has its row in the documents, with the exit code that goes with it."""
    rows = (Path(__file__).parents[2] / "docs" / "exit-codes.md").read_text(encoding="utf-8").splitlines()
    for reason in PilotReason:
        [row] = [row for row in rows if row.startswith("|") and f"`{reason.value}`" in row.split("|")[1]]
        if row.split("|")[2].strip() != "–":
            assert int(row.split("|")[2]) == Ending(reason).exit_code
