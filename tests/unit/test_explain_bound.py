"""What is said of pilots that serve one community alone: to whom waits in vain for them, and of them."""

from __future__ import annotations

from dataclasses import replace

from central.explanations.bound import left_out, serves
from central.explanations.explain import Candidate, Circumstances, explain, explain_agents
from central.matching.matcher import alone
from central.records import PilotRow
from pilot.protocol import Offer
from pilot.states import JobState
from pilot.views import JobExplanation, JobView
from tests.unit.matching_scene import needs, offer, task
from tests.unit.pilot_rows import pilot

BOTH = ("c", "d")
NODE = offer(communities=BOTH)
BOUND = pilot(communities=BOTH, bound="c")


def candidate(row: PilotRow, node: Offer = NODE) -> Candidate:
    """A pilot as it is looked at, with so much left."""
    there = alone(node, row.bound) if row.bound else node
    return Candidate(f"pilot {row.stamp[:8]} at here", there, True, left_out=left_out(row))


def why(community: str, *candidates: Candidate) -> JobExplanation:
    job = JobView(7, "n", JobState.WAITING, community, "g", "o", 5, 0, 0.0, 0.0)
    return explain(job, needs(cores=1, max_cores=1), Circumstances(candidates, {}))


def test_whom_a_pilot_serves() -> None:
    """All that it was sent for, until it is bound to one of them."""
    assert (serves(BOUND), left_out(BOUND)) == (("c",), ("d",))
    assert (serves(replace(BOUND, bound="")), left_out(replace(BOUND, bound=""))) == (BOTH, ())


def test_a_job_that_a_bound_pilot_has_room_for() -> None:
    """It is told that the pilot works for somebody else, and not for whom; and which queue would have another."""
    said = why("d", candidate(BOUND), candidate(replace(BOUND, stamp="b" * 32)), Candidate.queue(NODE))
    assert said.summary == (
        "No live pilot has room for it now, but for 2 live pilots at work for another community alone; "
        "pilots of q would have"
    )
    (failure,) = said.failures
    assert (failure.need, failure.asked, failure.pilots) == ("bound", "a pilot that may still serve d", 2)
    assert failure.example == "pilot abababab at here: one that serves another community alone"
    assert said.nearest.endswith(
        "asks for a pilot that may still serve d and finds one that serves another community alone"
    )
    assert why("d", candidate(BOUND)).summary.endswith("for 1 live pilot at work for another community alone")


def test_a_job_that_would_have_no_room_there_either() -> None:
    """A pilot that is full is no example of one with room, whomever it serves."""
    said = why("d", candidate(BOUND, offer(communities=BOTH, cores=0)), Candidate.queue(NODE))
    assert said.summary == "No live pilot has room for it now; pilots of q would have"
    assert {failure.need for failure in said.failures} == {"bound", "cores"}


def test_those_whom_it_serves_are_told_nothing_of_it() -> None:
    """Nor do communities hear of it that it was never sent for."""
    assert why("c", candidate(BOUND)).summary == "It fits 1 live pilot as they are now: it is the next of its owner"
    (failure,) = why("e", candidate(BOUND)).failures
    assert (failure.need, failure.asked, failure.example) == ("community", "a pilot for e", "")


def test_a_bound_pilot_that_got_nothing() -> None:
    """What waits of its community is what counts; that it serves no other is said where nothing waits."""
    now = Circumstances([candidate(BOUND)], {})
    assert explain_agents(BOUND, now, []).summary == "No job of c, which it serves alone, waits"
    assert explain_agents(BOUND, now, [(task(1, community="c"), 2)]).fitting == 2
