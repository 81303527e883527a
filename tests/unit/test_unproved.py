"""Why a pilot runs no containers, as who asks about a waiting job is told."""

from __future__ import annotations

from dataclasses import replace

from central.explanations.explain import Candidate, Circumstances, explain
from central.explanations.unproved import unproved
from central.fleet.presence import FreePilot
from pilot.protocol import Fact
from pilot.states import JobState
from pilot.views import JobView
from tests.unit.matching_scene import needs, offer

WHY = "neither apptainer nor singularity is on the PATH or in the usual places"
JOB = JobView(7, "n", JobState.WAITING, "c", "g", "o", 5, 0, 0.0, 0.0)


def told(tags: str, *facts: Fact) -> str:
    """What the job is told of the pilot that comes nearest."""
    one = Candidate.pilot(FreePilot("1" * 32, 1, offer(communities=("c",))))
    found = explain(JOB, needs(tags=tags), Circumstances([replace(one, unproved=unproved(facts))], {}))
    return found.nearest or ""


def test_what_the_trial_said_is_told() -> None:
    """Of a tag for containers that a pilot does not have the sentence of its trial is told, once for all of them."""
    denied = [Fact(f"tag:container:{name}", False, WHY) for name in ("apptainer", "sif")]
    said = told("container:apptainer & container:sif", *denied)
    assert said.endswith(f"finds container:apptainer absent ({WHY}), container:sif absent")


def test_only_what_was_denied_has_a_reason() -> None:
    """Other tags, and trials whose outcome nobody knows, are told as they were."""
    other, unknown = Fact("tag:cvmfs", False, "no /cvmfs"), Fact("tag:container:sif", None, "no answer")
    assert told("cvmfs & container:sif", other, unknown).endswith("finds container:sif absent, cvmfs absent")
