"""What people ask of use: what was used, how shares stand, how full limits are; and why many jobs wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pilot.protocol import Usage
from pilot.states import JobState, Outcome, Phase
from pilot.use import LimitPage, SharePage, UsagePage
from pilot.views import ExplainedJobs, ExplainReply, JobExplanation, JobPage, VerbReply
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.test_api_jobs import change, refused
from tests.integration.test_api_logs import watch
from tests.integration.wire_pilot import OFFER, SignedPilot

LIMITS = """
[shares]
half_life = "2d"

[[limits]]
name = "tau-most"
running = 1
group = "tau"

[[limits]]
name = "biology-cores"
cores = 50
community = "biology"
"""


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    return make_central(more=LIMITS)


@pytest.fixture
def pilot(central: RunningCentral) -> Iterator[SignedPilot]:
    pilot = central.pilot(offer=replace(OFFER, cores=100))
    yield pilot
    pilot.bye()


def run(person: Person, pilot: SignedPilot, outcome: Outcome, wall: float, cpu: float, **needs: object) -> int:
    """A job that takes so long and ends so."""
    job = person.submit_one(needs=needs)
    (lease,) = [lease for lease in pilot.match(most=1000).leases if lease.job == job]
    pilot.report(lease, Phase.RUNNING)
    pilot.report(lease, Phase.ENDED, outcome=outcome, exit_code=0, usage=Usage(wall=wall, cpu=cpu, memory_peak=10**6))
    return job


# -- use --------------------------------------------------------------------------------------------------------------


def test_use_is_told_by_whom_and_where(central: RunningCentral, pilot: SignedPilot) -> None:
    """Every ended attempt counts once, under its community, group, owner and site, with what of it was lost."""
    ann, oli = central.person("ann"), central.person("oli")
    # Shorter than two requests take: no attempt is charged for more time than has passed.
    run(ann, pilot, Outcome.SUCCESS, 0.0002, 0.0003, cores=2)
    run(ann, pilot, Outcome.PAYLOAD_ERROR, 0.0001, 0.0001)
    page = ann.read("/v1/usage?by=owner,site", UsagePage)
    (row,) = [row for row in page.rows if row.keys[0] == "ann"]
    assert (page.by, row.keys) == (("owner", "site"), ("ann", "here"))
    assert (row.attempts, row.succeeded, row.memory_peak) == (2, 1, 10**6)
    assert (row.core_seconds, row.cpu_seconds, row.lost_core_seconds) == pytest.approx((0.0005, 0.0004, 0.0001))
    now = time.time()
    spans = ann.read(f"/v1/usage?by=group&since={now - 7200}&until={now + 7200}&span=3600", UsagePage)
    assert sum(row.attempts for row in spans.rows) >= 2
    assert {(row.start - spans.since) % 3600 for row in spans.rows} == {0.0}
    assert ann.read(f"/v1/usage?since=1&until={now - 86400}", UsagePage).rows == ()
    assert oli.read("/v1/usage?by=community", UsagePage).rows[0].keys == ("physics",)


def test_communities_see_their_own_use(central: RunningCentral, pilot: SignedPilot) -> None:
    """A person sees the own community, an operator all, and each of them alone when it is named."""
    run(central.person("ann"), pilot, Outcome.SUCCESS, 0.01, 0.01)
    dan, oli = central.person("dan"), central.person("oli")
    assert dan.read("/v1/usage?by=community", UsagePage).rows == ()
    assert oli.read("/v1/usage?by=community&community=biology", UsagePage).rows == ()
    assert oli.read("/v1/usage?by=community&community=physics", UsagePage).rows
    for person, community in ((dan, "physics"), (oli, "art")):
        assert refused(lambda: person.read(f"/v1/usage?community={community}", UsagePage)).type == "not-found"  # noqa: B023


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("by=colour", "by"),
        ("since=x", "since"),
        ("since=nan", "since"),
        ("since=5&until=4", "since"),
        ("since=-5&until=4", "since"),
        ("span=0", "span"),
        ("span=1", "span"),
        ("span=nan", "span"),
        ("colour=red", "colour"),
    ],
)
def test_a_wrong_question_about_use_is_refused(central: RunningCentral, query: str, where: str) -> None:
    """What makes no sense, or too many rows, says which part of it."""
    found = refused(lambda: central.person("ann").read(f"/v1/usage?{query}", UsagePage))
    assert (found.type, found.problems[0].where) == ("invalid", where)


def test_shares_stand_as_used(central: RunningCentral, pilot: SignedPilot) -> None:
    """What was used decays by the configured half-life, what runs counts, and others see their own community."""
    ann, dan = central.person("ann"), central.person("dan")
    run(ann, pilot, Outcome.SUCCESS, 0.0002, 0.0001, cores=2)
    job = ann.submit_one(needs={"cores": 3})
    assert job in [lease.job for lease in pilot.match(most=100).leases]
    page = ann.read("/v1/shares", SharePage)
    found = {(view.group, view.owner): view for view in page.shares}
    assert page.half_life == 2 * 86400
    assert {view.community for view in page.shares} == {"physics"}
    assert found["muons", "ann"].cores == 3
    assert found["", ""].due == 0.5
    assert found["", ""].used >= 0.0004
    assert found["", ""].part == pytest.approx(1.0)
    assert [view.group for view in dan.read("/v1/shares", SharePage).shares] == ["", "cells"]
    change(ann, "kill", job)


def test_limits_say_how_full_they_are(central: RunningCentral, pilot: SignedPilot) -> None:
    """A limit holds, is told with what counts against it, and is why a job waits; other communities' are hidden."""
    eve, dan = central.person("eve"), central.person("dan")
    first, second = eve.submit_one(name="limited"), eve.submit_one(name="limited")
    assert [lease.job for lease in pilot.match(most=100).leases if lease.job in (first, second)] == [first]
    (limit,) = [limit for limit in eve.read("/v1/limits", LimitPage).limits if limit.name == "tau-most"]
    assert (limit.name, limit.group, limit.attempts, limit.attempts_now, limit.cores_now) == (
        "tau-most",
        "tau",
        1,
        1,
        1,
    )
    for person, names in ((central.person("oli"), {"tau-most", "biology-cores"}), (dan, {"tau-most", "biology-cores"})):
        assert {limit.name for limit in person.read("/v1/limits", LimitPage).limits} == names
    assert "biology-cores" not in {limit.name for limit in eve.read("/v1/limits", LimitPage).limits}
    said = eve.read(f"/v1/jobs/{second}/explain", JobExplanation)
    assert said.summary == "It would fit, and waits for room under the limit tau-most (1 of 1 attempts out)"
    change(eve, "kill", first, second)


# -- why, of many -----------------------------------------------------------------------------------------------------


def explain(person: Person, **selection: object) -> dict[int, ExplainedJobs]:
    reply = person.say("/v1/jobs/explain", {"selection": selection}, ExplainReply)
    return {job: one for one in reply.explained for job in one.jobs}


def test_many_jobs_are_explained_together(central: RunningCentral, pilot: SignedPilot) -> None:
    """Jobs of one task queue share an explanation, which is the one that each would get alone."""
    ben = central.person("ben")
    pilot.match()
    wide = (
        ben.submit({"command": ["true"], "name": "why", "needs": {"cores": 999}, "sweep": {"n": "1..50"}}).jobs[0].first
    )
    tagged, urgent = (ben.submit_one(name="why", needs={"tags": "nowhere"}, priority=priority) for priority in (3, 8))
    held = ben.submit_one(name="why")
    change(ben, "hold", held, reason="look first")
    found = explain(ben, name="why")
    assert found[wide].jobs == tuple(range(wide, wide + 50))
    assert found[tagged].jobs == (urgent, tagged)
    assert found[held].explanation.summary.startswith("It is held")
    for job in (wide, urgent, held):
        alone = ben.read(f"/v1/jobs/{job}/explain", JobExplanation)
        assert replace(alone, shares=()) == replace(found[job].explanation, shares=())  # use goes on meanwhile
    assert list(explain(ben, name="why", states=["held"])) == [held]
    change(ben, "kill", selection={"name": "why", "states": ["waiting", "held"]})


def test_explaining_many_keeps_to_bounds_and_communities(central: RunningCentral) -> None:
    """Unknown jobs and those of others are named as unknown; the answer is bounded, and goes on where it ended."""
    ben, dan = central.person("ben"), central.person("dan")
    first = ben.submit({"command": ["true"], "name": "some", "sweep": {"n": "1..5"}}).jobs[0].first
    reply = dan.say("/v1/jobs/explain", {"selection": {"ids": [first, 999_999]}}, ExplainReply)
    assert (reply.explained, reply.unknown) == ((), (first, 999_999))
    body = {"selection": {"name": "some"}, "limit": 3}
    one = ben.say("/v1/jobs/explain", body, ExplainReply)
    two = ben.say("/v1/jobs/explain", {**body, "cursor": one.next}, ExplainReply)
    assert one.explained[0].jobs + two.explained[0].jobs == (first + 2, first + 3, first + 4, first, first + 1)
    assert two.next is None
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"cursor": "\0"}, {"selection": {"ids": list(range(1, 10_002))}}):
        assert (
            refused(lambda wrong=wrong: ben.say("/v1/jobs/explain", {**body, **wrong}, ExplainReply)).type == "invalid"
        )  # type: ignore[misc]
    change(ben, "kill", selection={"name": "some", "states": ["waiting"]})


# -- many at once -----------------------------------------------------------------------------------------------------


def test_thousands_of_jobs_are_changed_in_one_call(central: RunningCentral) -> None:
    """Each verb takes thousands of jobs at once, by filter, with a result for each of them."""
    ben = central.person("ben")
    ben.submit({"command": ["true"], "name": "bulk{n}", "sweep": {"n": "1..4000"}})
    for verb, states, more in (
        ("priority", ["waiting"], {"priority": 9}),
        ("hold", ["waiting"], {}),
        ("release", ["held"], {}),
        ("kill", ["waiting"], {}),
        ("reschedule", ["killed"], {}),
    ):
        selection = {"name": "bulk", "owner": "ben", "states": states}
        results = ben.say(f"/v1/jobs/{verb}", {"selection": selection, **more}, VerbReply).results
        assert len(results) == 4000
        assert all(result.changed for result in results), verb
    page = ben.read("/v1/jobs?name=bulk&owner=ben&counts=true", JobPage)
    assert page.counts == {"waiting": 4000, "killed": 4000}
    assert page.jobs[0].priority == 9
    change(ben, "kill", selection={"name": "bulk", "states": ["waiting"]})


def test_an_operator_may_mean_one_community(central: RunningCentral) -> None:
    """An operator lists and changes the jobs of one community; others may name none but their own."""
    ann, dan, oli = (central.person(name) for name in ("ann", "dan", "oli"))
    mine, theirs = ann.submit_one(name="both"), dan.submit_one(name="both")
    assert [view.id for view in oli.read("/v1/jobs?name=both&community=biology", JobPage).jobs] == [theirs]
    selection = {"name": "both", "community": "biology"}
    (result,) = oli.say("/v1/jobs/kill", {"selection": selection}, VerbReply).results
    assert (result.job, result.changed) == (theirs, True)
    assert ann.job(mine).state is JobState.WAITING
    assert refused(lambda: ann.read("/v1/jobs?community=biology", JobPage)).type == "not-found"
    assert refused(lambda: ann.say("/v1/jobs/kill", {"selection": selection}, VerbReply)).type == "not-found"
    assert [view.id for view in ann.read("/v1/jobs?name=both&community=physics", JobPage).jobs] == [mine]
    change(ann, "kill", mine)


def test_who_watches_hears_what_an_operator_did_in_their_community(central: RunningCentral) -> None:
    """A change is told to those of the job's community, whoever made it, and to no others."""
    dan, oli = central.person("dan"), central.person("oli")

    def kill_one() -> bool:
        oli.say("/v1/jobs/kill", {"selection": {"ids": [dan.submit_one()]}}, VerbReply)
        central.person("ann").submit_one(name="last")
        return theirs.done() and others.done()

    with ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(watch, central.person("dan"), lambda event: b'"state":"killed"' in event.data)
        others = pool.submit(watch, central.person("ann"), lambda event: event.name == "jobs")
        until(kill_one, "both to hear something")
    assert b"killed" not in b"".join(event.data for event in others.result())
    change(central.person("ann"), "kill", selection={"name": "last", "states": ["waiting"]})


def test_a_need_that_nothing_can_satisfy_is_said_at_once(central: RunningCentral) -> None:
    """Such a job is accepted, with a warning that names the nearest queue and what it lacks there."""
    ann = central.person("ann")
    reply = ann.submit(
        {"command": ["true"], "needs": {"cores": 9000}}, {"command": ["true"], "needs": {"sites": ["moon"]}}
    )
    cores, sites = reply.warnings
    assert (
        cores
        == "jobs[0]: no configured queue can run it; at the nearest, local, it asks for 9,000 cores and finds 4 cores"
    )
    assert (
        sites == "jobs[1]: no configured queue can run it; at the nearest, local, it asks for site moon and finds here"
    )
    change(ann, "kill", *(one.first for one in reply.jobs))


def test_hundreds_of_tags_are_taken_and_absurd_ones_refused(central: RunningCentral) -> None:
    """Three hundred tags are fine; ten thousand, or brackets without end, are told with their place, quickly."""
    ann = central.person("ann")
    job = ann.submit_one(needs={"tags": " & ".join(f"t{n}" for n in range(300))})
    change(ann, "kill", job)
    for tags in ("|".join(f"t{n}" for n in range(10_000)), "(" * 10_000, "~" * 10_000 + "a", "a & (b"):
        began = time.monotonic()
        found = refused(lambda tags=tags: ann.submit_one(needs={"tags": tags}))  # type: ignore[misc]
        assert (found.type, found.problems[0].where) == ("invalid", "jobs[0].needs.tags")
        assert time.monotonic() - began < 20
