"""When a node counts as one on which nothing can be run."""

from __future__ import annotations

from commands.context import Faults
from pilot.health import MOST_FAULTS, Health
from pilot.states import Outcome


def after(*outcomes: Outcome | None, job: int | None = None) -> Health:
    """Ends of different jobs, or of one."""
    health = Health()
    for number, outcome in enumerate(outcomes):
        health = health.after(number if job is None else job, outcome, f"end {number}")
    return health


def test_faults_in_a_row() -> None:
    """So many jobs in a row that end by a fault of the node are a problem, told with the last of them."""
    assert not after(*[Outcome.NODE_FAULT] * (MOST_FAULTS - 1)).problem
    problem = after(*[Outcome.NODE_FAULT] * MOST_FAULTS).problem
    assert problem == "5 jobs in a row ended by a fault of the node; the last: end 4"


def test_a_payload_that_ran_ends_the_row() -> None:
    """A payload that came to an end of its own, a bad one too, shows that the node can run some."""
    four = [Outcome.NODE_FAULT] * 4
    assert not after(*four, Outcome.PAYLOAD_ERROR, *four).problem
    assert after(*four, Outcome.PAYLOAD_ERROR, *four, Outcome.NODE_FAULT).problem


def test_what_others_ended_says_nothing() -> None:
    """An attempt that was killed, preempted or lost, or whose input was missing, does not count either way."""
    others = (Outcome.KILLED, Outcome.PREEMPTED, None, Outcome.INPUT_ERROR)
    assert not after(*[Outcome.NODE_FAULT] * 4, *others).problem
    assert after(*[Outcome.NODE_FAULT] * 4, *others, Outcome.NODE_FAULT).problem


def test_one_job_counts_once() -> None:
    """A job that fails here again and again says little about the node: it may ask for what nowhere is."""
    assert not after(*[Outcome.NODE_FAULT] * 3 * MOST_FAULTS, job=7).problem


def test_faults_are_counted_in_a_row_and_in_all() -> None:
    """Any other end, also one that others brought about, ends the row by which the next request is put off."""
    assert after(*[Outcome.NODE_FAULT] * 3, job=7).faults == Faults(3, 3)
    assert after(*[Outcome.NODE_FAULT] * 3, Outcome.KILLED).faults == Faults(0, 3)
    assert after(Outcome.NODE_FAULT, Outcome.SUCCESS, Outcome.NODE_FAULT).faults == Faults(1, 2)
