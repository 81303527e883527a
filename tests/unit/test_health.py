"""When a node counts as one on which nothing can be run."""

from __future__ import annotations

from pilot.health import MOST_FAULTS, Health
from pilot.states import Outcome


def after(*outcomes: Outcome | None) -> Health:
    health = Health()
    for number, outcome in enumerate(outcomes):
        health = health.after(outcome, f"end {number}")
    return health


def test_faults_in_a_row() -> None:
    """So many attempts in a row that end by a fault of the node are a problem, told with the last of them."""
    assert not after(*[Outcome.NODE_FAULT] * (MOST_FAULTS - 1)).problem
    problem = after(*[Outcome.NODE_FAULT] * MOST_FAULTS).problem
    assert problem == "5 attempts in a row ended by a fault of the node; the last: end 4"


def test_a_payload_that_ran_ends_the_row() -> None:
    """A payload that came to an end of its own, a bad one too, shows that the node can run some."""
    four = [Outcome.NODE_FAULT] * 4
    assert after(*four, Outcome.PAYLOAD_ERROR, *four).faults == 4
    assert after(*four, Outcome.SUCCESS).faults == 0


def test_what_others_ended_says_nothing() -> None:
    """An attempt that was killed, preempted or lost, or whose input was missing, does not count either way."""
    assert after(Outcome.NODE_FAULT, Outcome.KILLED, Outcome.PREEMPTED, None, Outcome.INPUT_ERROR).faults == 1
