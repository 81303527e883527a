"""Queues that are paused, as those are told whose jobs would fit them."""

from __future__ import annotations

from central.explanations.explain import Candidate, Circumstances, explain
from central.explanations.prospects import no_pilots
from central.records import Pause
from pilot.states import JobState
from pilot.views import JobExplanation, JobView
from tests.unit.matching_scene import needs, offer

PAUSE = str(Pause("a", "ada", "new disks", 0.0))
JOB = JobView(7, "n", JobState.WAITING, "c", "g", "o", 5, 0, 0.0, 0.0)


SHUT = "the computing element does not answer (no route); trying again in 10s"


def told(stuck: str = "", **paused: str) -> JobExplanation:
    queues = [Candidate.queue(offer(queue=name)) for name in ("a", "b")]
    decisions = {"a": "no demand", "b": stuck or "each slot has a pilot"}
    return explain(JOB, needs(), Circumstances(queues, decisions, (), paused, {"b": stuck} if stuck else {}))


def test_a_pause_is_the_reason_where_no_other_queue_fits() -> None:
    """When every queue that would fit is paused, the summary says by whom and why, before any director has looked."""
    said = told(a=PAUSE, b="paused by bob: too dear")
    assert said.summary == (
        "No live pilot has room for it now; no more are sent: the queue a is paused by ada: new disks; "
        "the queue b is paused by bob: too dear"
    )
    assert said.no_pilot == ("a: paused by ada: new disks", "b: paused by bob: too dear")


def test_a_queue_that_goes_on_is_the_one_to_wait_for() -> None:
    """Where one of the queues gets pilots, it alone is named; the pause stands beside what its director says."""
    said = told(a=PAUSE)
    assert said.summary == "No live pilot has room for it now; pilots of b would have"
    assert said.no_pilot == ("a: paused by ada: new disks", "b: each slot has a pilot")


def test_a_queue_whose_director_can_send_none_has_no_room() -> None:
    """Where the computing element of each queue that is not paused takes no pilots, that is said, and no room is
    promised; where another queue goes on, that one alone is named."""
    assert told(SHUT).summary == "No live pilot has room for it now; pilots of a would have"
    assert told(SHUT, a=PAUSE).summary == (
        f"No live pilot has room for it now; no more are sent: the queue a is {PAUSE}; no pilots come from b: {SHUT}"
    )


def test_one_who_submits_is_warned_of_pauses() -> None:
    """A job that fits paused queues alone is warned of; one that fits another queue too, or nothing is paused, not."""
    offers = [offer(queue="a"), offer(queue="b"), offer(queue="small", cores=0)]
    both = {"a": PAUSE, "b": "paused by bob: too dear"}
    assert no_pilots(needs(), "c", offers, both) == (
        "every queue that could run it is paused, so that no pilots are sent: the queue a is paused by ada: new disks; "
        "the queue b is paused by bob: too dear"
    )
    assert no_pilots(needs(), "c", offers, {"a": PAUSE}) is None
    assert no_pilots(needs(), "c", offers, {}) is None
    assert "no configured queue can run it" in (no_pilots(needs(cores=99), "c", offers, both) or "")
