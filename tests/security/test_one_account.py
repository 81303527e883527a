"""A member of one community who wants a payload onto the account in which another community's payloads run: as a pilot
without users of its own for them serves one community alone, there is no way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pilot.protocol import Lease, MatchReply
from pilot.states import JobState
from pilot.views import JobExplanation, PilotDetail, PilotExplanation, PilotPage
from tests.integration.running_central import RunningCentral
from tests.integration.wire_pilot import OFFER, SignedPilot
from tests.security.cast import Cast

BOTH = ("physics", "biology")
ROOMY = replace(OFFER, queue="shared", communities=BOTH, cores=32, memory=64 * 10**9, disk=10**12)
#: How a job can be told to be more urgent, larger, choosier, or harmless.
WAYS: list[dict[str, object]] = [
    {},
    {"priority": 10},
    {"needs": {"sites": ["here"]}},
    {"needs": {"cores": 32}},
    {"needs": {"cores": "whole-node"}},
    {"needs": {"memory": "1 MB", "disk": "1 MB", "wall_time": "1 min"}},
    {"needs": {"isolation": "none"}},
    {"name": "physics", "retries": 9},
]


@pytest.fixture(autouse=True)
def nothing_left(central: RunningCentral) -> Iterator[None]:
    """No test finds jobs of the one before."""
    yield
    for name in ("ann", "dan"):
        central.person(name).post("/v1/jobs/kill", json={"selection": {"states": ["waiting"]}})


@pytest.fixture
def attacked(central: RunningCentral) -> Iterator[SignedPilot]:
    """A pilot that runs a job of physics, with much room."""
    pilot = central.pilot(queue="shared", communities=BOTH, offer=ROOMY)
    central.person("ann").submit_one()
    assert whose(pilot.match(most=32)) == {"physics"}
    yield pilot
    pilot.bye()


def whose(reply: MatchReply) -> set[str]:
    return {lease.community for lease in reply.leases}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_job_comes_beside_those_of_another_community(
    central: RunningCentral, attacked: SignedPilot, way: dict[str, object]
) -> None:
    """However it is written, and however often the pilot asks; nor is it given a number that was not used."""
    dan = central.person("dan")
    jobs = [dan.submit_one(**way) for _ in range(3)]
    assert whose(attacked.match(most=32)) == set()
    assert whose(attacked.match(most=1, number=attacked.number + 10)) == set()
    attacked.number += 10
    assert {dan.job(job).state for job in jobs} == {JobState.WAITING}


def test_a_request_that_waits_is_not_woken(central: RunningCentral, attacked: SignedPilot) -> None:
    """Jobs of another community that come while it waits are not for it; the next one of its own is."""
    given: list[Lease] = []
    asking = threading.Thread(target=lambda: given.extend(attacked.match(most=32, wait=20.0).leases))
    asking.start()
    for way in WAYS:
        central.person("dan").submit_one(**way)
    central.person("ann").submit_one()
    asking.join(60)
    assert [lease.community for lease in given] == ["physics"]


def test_nor_when_the_job_is_over_or_the_pilot_has_started_anew(central: RunningCentral) -> None:
    """What the first payload has left on the node is not for those who come after it."""
    pilot = central.pilot(queue="shared", communities=BOTH, offer=ROOMY)
    ann, dan = central.person("ann"), central.person("dan")
    ann.submit_one()
    (lease,) = pilot.match().leases
    pilot.succeed(lease)
    dan.submit_one(priority=10)
    assert whose(pilot.match(most=32)) == set()
    pilot.resume()
    pilot.number = 0
    assert whose(pilot.match(most=32)) == set()
    pilot.offer = replace(ROOMY, communities=("biology",))
    assert whose(pilot.match(most=32)) == set()
    pilot.offer = replace(ROOMY, isolation=True)  # too late: it has not kept payloads from each other before
    assert whose(pilot.match(most=32)) == set()
    pilot.bye()


def test_jobs_of_two_communities_at_once(central: RunningCentral) -> None:
    """In one answer, and over a pilot's whole life, there are jobs of one community, whichever that is; the others go
    to another pilot."""
    ann, dan = central.person("ann"), central.person("dan")
    for _ in range(4):
        ann.submit_one()
        dan.submit_one()
    pilots = [central.pilot(queue="shared", communities=BOTH, offer=ROOMY) for _ in range(2)]
    served = [whose(pilot.match(most=5)) | whose(pilot.match(most=5)) for pilot in pilots]
    assert sorted(map(sorted, served)) == [["biology"], ["physics"]]
    for pilot in pilots:
        pilot.bye()


def test_whom_it_serves_is_not_for_others_to_know(central: RunningCentral, cast: Cast, attacked: SignedPilot) -> None:
    """They are told that it serves another community, in its view, in lists and where it or their jobs are explained;
    the admin of its site knows who works there."""
    dan = central.person("dan")
    job = dan.submit_one()
    one = dan.read(f"/v1/pilots/{attacked.stamp}", PilotDetail).pilot
    listed = [pilot for pilot in dan.read("/v1/pilots", PilotPage).pilots if pilot.stamp == attacked.stamp]
    assert {one.bound, *(pilot.bound for pilot in listed)} == {"(another)"}
    told = dan.get(f"/v1/jobs/{job}/explain").text
    assert "physics" not in told
    why = dan.read(f"/v1/jobs/{job}/explain", JobExplanation)
    assert "at work for another community alone" in why.summary
    central.person("ann").submit_one(needs={"cores": 1000})
    nothing = dan.read(f"/v1/pilots/{attacked.stamp}/explain", PilotExplanation)
    assert (nothing.summary, nothing.waiting) == ("It serves another community alone", 0)
    cast.let_in_kim()
    kim = cast.http.get(f"/v1/pilots/{attacked.stamp}", headers=cast.as_kim())
    assert kim.json()["pilot"]["bound"] == "physics"
