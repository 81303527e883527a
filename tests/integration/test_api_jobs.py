"""What people may ask and do: submitting, listing, verbs, roles, explanations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pilot.errors import Refusal
from pilot.queues import QueuePage, SitePage
from pilot.states import JobState, Outcome, Phase
from pilot.views import (
    JobDetail,
    JobExplanation,
    JobPage,
    PilotExplanation,
    PilotPage,
    VerbReply,
)
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import OFFER, SignedPilot, decoded

UNKNOWN = "0" * 64


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def places(refusal: Refusal) -> list[str]:
    return [problem.where for problem in refusal.problems]


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def dan(central: RunningCentral) -> Person:
    return central.person("dan")


@pytest.fixture
def wide(central: RunningCentral) -> Iterator[SignedPilot]:
    """A pilot with room for whatever waits."""
    pilot = central.pilot(offer=replace(OFFER, cores=65_536))
    yield pilot
    pilot.bye()


def change(person: Person, verb: str, *ids: int, **more: object) -> VerbReply:
    selection = more.pop("selection", {"ids": ids})
    return person.say(f"/v1/jobs/{verb}", {"selection": selection, **more}, VerbReply)


# -- submitting -------------------------------------------------------------------------------------------------------


def test_documents_become_ranges_of_jobs(ann: Person) -> None:
    """Each document becomes consecutive ids; a sweep is filled in for each of its jobs."""
    reply = ann.submit(
        {"command": ["true"]}, {"command": ["run", "{seed}"], "name": "s{seed}", "sweep": {"seed": "1..5"}}
    )
    single, sweep = reply.jobs
    assert (single.count, sweep.count) == (1, 5)
    third = ann.read(f"/v1/jobs/{sweep.first + 2}", JobDetail)
    assert (third.command, third.job.name, third.job.parameters) == (("run", "3"), "s3", {"seed": "3"})
    assert (third.job.owner, third.job.group, third.job.community) == ("ann", "muons", "physics")


def test_a_bad_job_refuses_all_with_every_problem(ann: Person) -> None:
    """One refusal lists every problem of every document with its place, and nothing is stored."""
    before = ann.read("/v1/jobs?limit=1", JobPage).jobs
    found = refused(
        lambda: ann.submit(
            {"command": ["true"]},
            {"command": ["x"], "needs": {"cores": {"min": 8, "max": 2}, "memory": -5}, "colour": "red"},
            {"command": ["x"], "needs": {"sites": []}, "retries": 1000},
            {"command": ["x"], "sweep": {"n": "1..10000000"}},
            {},
        )
    )
    assert found.type == "invalid"
    assert set(places(found)) == {
        "jobs[1].needs.cores",
        "jobs[1].needs.memory",
        "jobs[1].colour",
        "jobs[2].needs.sites",
        "jobs[2].retries",
        "jobs[3].sweep",
        "jobs[4].command",
    }
    assert ann.read("/v1/jobs?limit=1", JobPage).jobs == before


@pytest.mark.parametrize("jobs", [[], [7], ["text"], [{"command": "ls -l; rm"}, None]])
def test_what_is_no_job_is_refused(ann: Person, jobs: list[object]) -> None:
    """Nothing at all, and what is no mapping, are invalid."""
    answer = ann.post("/v1/jobs", json={"jobs": jobs})
    assert refused(lambda: decoded(answer, dict)).type == "invalid"


def test_more_jobs_than_one_request_may_bring_are_refused(ann: Person) -> None:
    """The bound is on all documents together."""
    half = {"command": ["true"], "sweep": {"n": "1..60000"}}
    found = refused(lambda: ann.submit(half, half))
    assert "at most 100,000 jobs" in found.problems[0].problem


def test_an_idempotency_key_makes_a_repeat_harmless(ann: Person) -> None:
    """The same key and request give the first ids; the same key with another request is refused."""
    first = ann.submit({"command": ["true"], "name": "once"}, key="k1")
    assert ann.submit({"name": "once", "command": ["true"]}, key="k1").jobs == first.jobs
    assert refused(lambda: ann.submit({"command": ["false"]}, key="k1")).type == "idempotency-mismatch"
    assert refused(lambda: ann.submit({"command": ["x"]}, key="x" * 201)).problems[0].where == "Idempotency-Key"


def test_keys_of_different_people_do_not_meet(central: RunningCentral, ann: Person) -> None:
    """Two people with the same key each get their own jobs."""
    mine = ann.submit({"command": ["true"]}, key="shared").jobs
    theirs = central.person("ben").submit({"command": ["true"]}, key="shared").jobs
    assert mine != theirs


def test_inputs_must_be_uploaded_first(ann: Person, dan: Person, wide: SignedPilot) -> None:
    """An input without a digest is told, and so is a digest that nobody of the own community has uploaded."""
    file = ann.upload("data.csv", b"1,2,3\n")
    entry = {"sha256": file.sha256, "size": 1}
    job = {"command": ["true"], "inputs": ["data.csv"]}
    assert places(refused(lambda: ann.submit(job))) == ["jobs[0].inputs[0]"]
    unknown = refused(lambda: ann.submit({**job, "files": {"data.csv": {"sha256": UNKNOWN, "size": 1}}}))
    assert places(unknown) == ["jobs[0].files.data.csv"]
    assert f"PUT /v1/sandboxes/{UNKNOWN}" in unknown.detail or "PUT" in unknown.problems[0].problem
    assert refused(lambda: dan.submit({**job, "files": {"data.csv": entry}})).type == "invalid"
    ann.submit({**job, "files": {"./data.csv": entry}})
    leases = wide.match(most=1000).leases
    (given,) = [lease.spec.inputs for lease in leases if lease.spec.inputs]
    assert (given[0].name, given[0].sha256, given[0].size) == ("data.csv", file.sha256, 6)


def test_a_sweep_over_inputs_gives_each_job_its_own(ann: Person, wide: SignedPilot) -> None:
    """Placeholders in input names choose each member's file; one that is missing is told; none leads outside."""
    files = {f"run{n}.csv": {"sha256": ann.upload("x", b"%d" % n).sha256, "size": 1} for n in (1, 2)}
    job = {"executable": "./run{n}.csv", "name": "own-input", "files": files, "sweep": {"n": ["1", "2"]}}
    reply = ann.submit(job)
    leases = wide.match(most=1000).leases
    own = {lease.job: lease.spec for lease in leases if lease.spec.name == "own-input"}
    assert [own[reply.jobs[0].first + n].inputs[0].name for n in (0, 1)] == ["run1.csv", "run2.csv"]
    assert own[reply.jobs[0].first].inputs[0].executable
    assert own[reply.jobs[0].first].command == ("./run1.csv",)
    assert places(refused(lambda: ann.submit({**job, "sweep": {"n": ["1", "3"]}}))) == ["jobs[0].inputs[0]"]
    outside = {"command": ["x"], "inputs": ["in/{n}"], "outputs": ["out/{n}"], "sweep": {"n": ["../../etc"]}}
    assert set(places(refused(lambda: ann.submit(outside)))) == {"jobs[0].inputs[0]", "jobs[0].outputs[0]"}


def test_what_can_never_run_is_accepted_with_a_warning(ann: Person) -> None:
    """A job that no configured queue could ever take is stored, and the answer says so."""
    reply = ann.submit({"command": ["true"]}, {"command": ["true"], "needs": {"cores": 1000}})
    assert len(reply.warnings) == 1
    assert reply.warnings[0].startswith("jobs[1]: no configured queue can run it")
    change(ann, "kill", reply.jobs[1].first)


# -- reading ----------------------------------------------------------------------------------------------------------


def test_lists_are_filtered_paged_and_counted(central: RunningCentral) -> None:
    """A list keeps to its filters, comes in pages without gap or repetition, newest first, and can count by state."""
    ben = central.person("ben")
    first = ben.submit({"command": ["true"], "name": "page{n}", "sweep": {"n": "1..7"}}).jobs[0].first
    change(ben, "kill", first, first + 1)
    seen: list[int] = []
    cursor = ""
    while True:
        page = ben.read(f"/v1/jobs?owner=ben&name=page&limit=3{cursor}", JobPage)
        seen += [view.id for view in page.jobs]
        if page.next is None:
            break
        cursor = f"&cursor={page.next}"
    assert seen == [first + n for n in reversed(range(7))]
    page = ben.read("/v1/jobs?owner=ben&name=page&states=killed&counts=true", JobPage)
    assert {view.id for view in page.jobs} == {first, first + 1}
    assert page.counts == {"killed": 2}
    assert len(ben.read(f"/v1/jobs?ids={first},{first + 3}", JobPage).jobs) == 2


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("states=tired", "states"),
        ("colour=red", "colour"),
        ("cursor=%00", "cursor"),
    ],
)
def test_a_wrong_query_is_refused(ann: Person, query: str, where: str) -> None:
    """A wrong filter is an error, not an empty list."""
    assert refused(lambda: ann.read(f"/v1/jobs?{query}", JobPage)).problems[0].where.startswith(where)


def test_communities_do_not_see_each_other(central: RunningCentral, ann: Person, dan: Person) -> None:
    """Jobs of another community are not found, not listed and not changed; an operator sees them."""
    job = ann.submit_one()
    for path in ("", "/attempts", "/explain", "/outputs", "/logs/stdout"):
        assert refused(lambda path=path: dan.read(f"/v1/jobs/{job}{path}", dict)).type == "not-found"  # type: ignore[misc]
    assert dan.read(f"/v1/jobs?ids={job}", JobPage).jobs == ()
    (result,) = change(dan, "kill", job).results
    assert not result.changed
    assert ann.job(job).state is JobState.WAITING
    assert central.person("oli").job(job).id == job
    pilot = central.pilot()
    assert refused(lambda: dan.read(f"/v1/pilots/{pilot.stamp}", dict)).type == "not-found"
    assert dan.read("/v1/pilots", PilotPage).pilots == ()
    assert [queue.name for queue in dan.read("/v1/queues", QueuePage).queues] == ["shared"]
    assert ann.read("/v1/sites", SitePage).sites[0].queues == ("local", "shared")
    pilot.bye()


# -- verbs ------------------------------------------------------------------------------------------------------------


def test_a_job_is_held_released_and_given_another_priority(ann: Person) -> None:
    """Each verb changes the state it is for, and says for each job what became of it."""
    job = ann.submit_one()
    assert change(ann, "hold", job, reason="look first").results[0].state is JobState.HELD
    assert "look first" in ann.job(job).reason
    (again,) = change(ann, "hold", job).results
    assert not again.changed
    assert "held" in again.problem
    assert change(ann, "release", job).results[0].state is JobState.WAITING
    change(ann, "priority", job, priority=9)
    assert ann.job(job).priority == 9
    assert change(ann, "kill", job).results[0].state is JobState.KILLED
    (new,) = change(ann, "reschedule", job).results
    assert new.new_job is not None
    assert ann.job(new.new_job).parent == job
    change(ann, "kill", new.new_job)


def test_held_jobs_are_not_matched(ann: Person, wide: SignedPilot) -> None:
    """A held job is given to nobody; released, it is, and a higher priority goes first."""
    low, high = ann.submit_one(name="order", priority=1), ann.submit_one(name="order", priority=1)
    change(ann, "hold", low, high)
    assert {low, high}.isdisjoint(lease.job for lease in wide.match(most=10_000).leases)
    change(ann, "priority", high, priority=10)
    change(ann, "release", low, high)
    assert [lease.job for lease in wide.match().leases + wide.match().leases] == [high, low]


@pytest.mark.parametrize(
    ("verb", "body", "where"),
    [
        ("kill", {"selection": {}}, "selection"),
        ("priority", {"selection": {"ids": [1]}}, "priority"),
        ("priority", {"selection": {"ids": [1]}, "priority": 11}, "priority"),
        ("kill", {"selection": {"states": ["asleep"]}}, "selection.states[0]"),
        ("kill", {}, ""),
    ],
)
def test_a_wrong_verb_request_is_refused(ann: Person, verb: str, body: dict[str, object], where: str) -> None:
    """An empty selection does not mean everything; what does not fit says where."""
    found = refused(lambda: ann.say(f"/v1/jobs/{verb}", body, VerbReply))
    assert (found.type, found.problems[0].where) == ("invalid", where)


def test_an_unknown_verb_is_not_found(ann: Person) -> None:
    """There is nothing at a verb that does not exist."""
    assert refused(lambda: change(ann, "bless", 1)).type == "not-found"


@pytest.mark.parametrize(
    ("name", "able"), [("ben", False), ("eve", False), ("gus", True), ("cam", True), ("oli", True), ("dan", False)]
)
def test_roles_decide_who_changes_whose_jobs(central: RunningCentral, ann: Person, name: str, able: bool) -> None:
    """A member changes only the own jobs, a group's admin the group's, a community's admin the community's."""
    job = ann.submit_one()
    (result,) = change(central.person(name), "hold", job).results
    assert result.changed is able
    assert ann.job(job).state is (JobState.HELD if able else JobState.WAITING)
    if name in ("ben", "eve"):
        assert "ann" in result.problem


def test_a_members_filter_reaches_own_jobs_alone(central: RunningCentral, ann: Person) -> None:
    """A selection by filter changes what the caller may change, and says of the rest why not."""
    mine, other = ann.submit_one(name="mixed"), central.person("ben").submit_one(name="mixed")
    results = {
        result.job: result for result in change(ann, "kill", selection={"name": "mixed", "states": ["waiting"]}).results
    }
    assert results[mine].changed
    assert not results[other].changed
    assert central.person("ben").job(other).state is JobState.WAITING
    assert [result.job for result in change(ann, "kill", 999_999_999).results] == [999_999_999]


# -- why --------------------------------------------------------------------------------------------------------------


def test_explain_says_which_need_fails_where(central: RunningCentral, ann: Person) -> None:
    """A job that asks for 1,000 cores, or for an unknown tag, learns which need fails, and by how many."""
    pilot = central.pilot()
    pilot.match()
    wide, tagged = ann.submit_one(needs={"cores": 1000}), ann.submit_one(needs={"tags": "unobtainium"})
    found = ann.read(f"/v1/jobs/{wide}/explain", JobExplanation)
    (failure,) = [failure for failure in found.failures if failure.need == "cores"]
    assert "1000" in failure.asked.replace(",", "")
    assert failure.pilots >= 1
    assert failure.queues == 2
    assert (found.fitting_pilots, found.fitting_queues) == (0, 0)
    found = ann.read(f"/v1/jobs/{tagged}/explain", JobExplanation)
    assert "tags" in {failure.need for failure in found.failures}
    why = ann.read(f"/v1/pilots/{pilot.stamp}/explain", PilotExplanation)
    assert why.waiting >= 2
    change(ann, "kill", wide, tagged)
    pilot.bye()


def test_outputs_and_attempts_are_told_by_attempt(ann: Person, wide: SignedPilot) -> None:
    """Each attempt keeps its own end and history; outputs are those of the newest unless another is asked for."""
    job = ann.submit_one(retries=1)
    refusal = refused(lambda: ann.read(f"/v1/jobs/{job}/outputs", dict))
    assert refusal.type == "not-found"
    (lease,) = [lease for lease in wide.match(most=10_000).leases if lease.job == job]
    wide.report(lease, Phase.RUNNING)
    wide.report(lease, Phase.ENDED, outcome=Outcome.PAYLOAD_ERROR, exit_code=7, undelivered=("a.txt",), tail="boom")
    (attempt,) = ann.attempts(job)
    assert (attempt.exit_code, attempt.tail, attempt.undelivered) == (7, "boom", ("a.txt",))
    assert [event.phase for event in attempt.history] == [Phase.MATCHED, Phase.RUNNING, Phase.ENDED]
    assert ann.get(f"/v1/jobs/{job}/outputs?attempt=1").json()["undelivered"] == ["a.txt"]
    assert ann.get(f"/v1/jobs/{job}/outputs?attempt=2").status_code == 404
    change(ann, "kill", job)
