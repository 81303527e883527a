"""Where payloads share an account, by real pilots at a real central: one community a pilot, and everybody is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pilot.states import JobState, PilotState
from pilot.views import JobExplanation, PilotDetail, PilotExplanation
from tests.integration.conftest import CentralMaker
from tests.integration.real_pilot import RealPilot
from tests.integration.running_central import Person, RunningCentral, until

BOTH = ["physics", "biology"]
#: A queue like the one of the tests, where the operator lets communities share an account.
OPEN = """
[[queues]]
name = "open"
site = "here"
kind = "external"
communities = ["physics", "biology"]
settings = { isolation = "none" }
"""
PilotMaker = Callable[..., RealPilot]


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    return make_central(more=OPEN)


@pytest.fixture
def start(tmp_path: Path, central: RunningCentral) -> Iterator[PilotMaker]:
    """Starts pilots of two cores at a queue for two communities."""
    made: list[RealPilot] = []

    def start(queue: str = "shared") -> RealPilot:
        stamp, secret = central.plan(queue=queue, communities=BOTH)
        pilot = RealPilot(tmp_path, central.url, central.ca, secret, stamp=stamp, queue=queue, communities=BOTH)
        made.append(pilot)
        return pilot.start()

    yield start
    for pilot in made:
        pilot.end()
        print(pilot.log)


def pilots_of(person: Person, *jobs: int) -> set[str]:
    return {attempt.pilot for job in jobs for attempt in person.attempts(job)}


def done(person: Person, *jobs: int) -> bool:
    return all(person.job(job).state is JobState.DONE for job in jobs)


def test_a_pilot_serves_the_community_of_its_first_job(central: RunningCentral, start: PilotMaker) -> None:
    """With room beside what it runs it takes no job of another community, during it and afterwards; that is told to
    whom it concerns, and another pilot runs those jobs."""
    ann, dan, oli = central.person("ann"), central.person("dan"), central.person("oli")
    go = central.folder / "go"
    first = ann.submit_one(command=["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.1; done"])
    pilot = start()
    until(lambda: ann.job(first).state is JobState.RUNNING, "the first job")
    theirs = [dan.submit_one() for _ in range(3)]
    ours = [ann.submit_one() for _ in range(3)]
    until(lambda: done(ann, *ours), "the jobs of the pilot's community")
    go.touch()
    until(lambda: done(ann, first), "the first job")
    assert {dan.job(job).state for job in theirs} == {JobState.WAITING}

    why = dan.read(f"/v1/jobs/{theirs[0]}/explain", JobExplanation)
    assert why.summary.startswith(
        "No live pilot has room for it now, but for 1 live pilot at work for another community alone; pilots of"
    )
    (failure,) = (failure for failure in why.failures if failure.need == "bound")
    assert failure.asked == "a pilot that may still serve biology"
    assert failure.example == f"pilot {pilot.stamp[:8]} at here: one that serves another community alone"
    shown = {who: who.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).pilot.bound for who in (ann, dan, oli)}
    assert shown == {ann: "physics", dan: "(another)", oli: "physics"}
    idle = oli.read(f"/v1/pilots/{pilot.stamp}/explain", PilotExplanation)
    assert idle.summary == "No job of physics, which it serves alone, waits"

    other = start()
    until(lambda: done(dan, *theirs), "the jobs of the other community")
    assert pilots_of(ann, first, *ours) == {pilot.stamp}
    assert pilots_of(dan, *theirs) == {other.stamp}
    assert oli.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).pilot.state is PilotState.RUNNING


def test_communities_share_an_account_by_the_operators_word(central: RunningCentral, start: PilotMaker) -> None:
    """Where the queue says `isolation = "none"` one pilot serves all of them at the same time."""
    ann, dan = central.person("ann"), central.person("dan")
    go = central.folder / "go on"
    jobs = {
        who: who.submit_one(command=["sh", "-c", f"while [ ! -e '{go}' ]; do sleep 0.1; done"]) for who in (ann, dan)
    }
    pilot = start("open")
    until(lambda: all(who.job(job).state is JobState.RUNNING for who, job in jobs.items()), "both jobs at once")
    go.touch()
    until(lambda: done(ann, jobs[ann]) and done(dan, jobs[dan]), "both jobs")
    assert pilots_of(ann, jobs[ann]) | pilots_of(dan, jobs[dan]) == {pilot.stamp}
    assert dan.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).pilot.bound == ""
