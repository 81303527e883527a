"""Why a job waits and why a pilot got nothing, in words that match what the match does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from central.explanations.explain import (
    Candidate,
    Circumstances,
    Kept,
    distinct,
    explain,
    explain_agents,
    nothing_for,
    suspected,
)
from central.explanations.prospects import never_satisfiable
from central.fleet.presence import FreePilot
from central.matching.limits import Limits
from central.matching.matcher import fits
from central.matching.task_queues import TaskQueues
from central.records import Limit, LimitUse, Suspicion, TaskQueue
from central.store.limiting import Counting
from pilot.protocol import Needs, Offer
from pilot.states import JobState, PilotReason, PilotState
from pilot.views import JobDetail, JobExplanation, JobView
from tests.unit.explained import explain_job, explain_pilot
from tests.unit.matching_scene import GB, drawn_offers, drawn_tasks, needs, offer, task, waiting
from tests.unit.pilot_rows import STAMP, pilot


def job(asked: Needs | None = None, state: JobState = JobState.WAITING, **fields: object) -> JobDetail:
    view = JobView(7, "n", state, "c", "g", "o", 5, 0, 0.0, 0.0)
    return JobDetail(replace(view, **fields), ("true",), asked or needs(), 0, 0, 0)  # type: ignore[arg-type]


def free(number: int, node: Offer) -> FreePilot:
    return FreePilot(f"{number:08x}" + "0" * 24, 1, node)


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_for_a_thousand_cores_is_told_who_has_how_many() -> None:
    """Each pilot and queue that fails a need is counted, the nearest is named, and nothing is promised."""
    asked = needs(cores=1000, max_cores=1000)
    said = explain_job(
        job(asked), [free(1, offer(cores=4)), free(2, offer(cores=8))], [offer(cores=64, queue="big")], {}
    )
    assert said.summary == "Nothing here offers 1,000 cores"
    assert (said.pilots, said.queues, said.fitting_pilots, said.fitting_queues) == (2, 1, 0, 0)
    (failure,) = said.failures
    assert (failure.need, failure.asked, failure.pilots, failure.queues) == ("cores", "1,000 cores", 2, 1)
    assert failure.example == "queue big at here: 64 cores"
    assert said.nearest == "queue big at here: the job asks for 1,000 cores and finds 64 cores"
    assert said.no_pilot == ()


def test_an_unknown_tag_is_named() -> None:
    """A tag that nobody has is what stands in the way."""
    said = explain_job(job(needs(tags="nowhere")), [], [offer(), offer(site="x", queue="r")], {})
    assert said.summary == "Nothing here offers the tags nowhere"
    assert [(one.need, one.queues, one.example) for one in said.failures] == [
        ("tags", 2, "queue q at here: nowhere absent")
    ]


def test_a_job_that_fits_is_told_its_turn() -> None:
    """Where it fits, the jobs of its owner before it are counted: between owners their shares decide."""
    pilots = [free(1, offer()), free(2, offer(cores=0))]
    said = explain_job(job(), pilots, [offer()], {}, 3)
    assert said.summary == "It fits 1 live pilot as they are now: 3 jobs of its owner before it"
    said = explain_job(job(), pilots, [offer()], {}, 0)
    assert said.summary == "It fits 1 live pilot as they are now: it is the next of its owner"
    assert (said.fitting_pilots, said.fitting_queues, said.ahead) == (1, 1, 0)


def test_a_job_without_a_pilot_is_told_what_the_directors_say() -> None:
    """Each queue that would fit says why it has sent no pilot."""
    queues = [offer(queue="a"), offer(queue="b"), offer(queue="small", memory=None)]
    decisions = {"a": "all 4 slots of the queue have a pilot", "small": "no demand"}
    said = explain_job(job(needs(memory=GB)), [free(1, offer(memory=0))], queues, decisions, 12)
    assert said.summary == "No live pilot has room for it now; pilots of a, b would have"
    assert said.no_pilot == ("a: all 4 slots of the queue have a pilot", "b: its director has not looked yet")
    assert said.ahead == 12


def full(limit: Limit, attempts: int = 0, cores: int = 0) -> LimitUse:
    return LimitUse(limit, attempts, cores)


def said_under(*limits: LimitUse, asked: Needs | None = None) -> JobExplanation:
    candidates = [
        Candidate.pilot(free(1, offer())),
        Candidate.pilot(free(2, offer(site="far"))),
        Candidate.queue(offer()),
    ]
    return explain(job().job, asked or needs(), Circumstances(candidates, {}, limits))


def test_a_full_limit_is_what_a_job_waits_for() -> None:
    """A job that fits, and counts against a limit that is full, is told which, and how full."""
    said = said_under(full(Limit("c-most", attempts=7, community="c"), attempts=7))
    assert said.summary == "It would fit, and waits for room under the limit c-most (7 of 7 attempts out)"
    assert (said.fitting_pilots, said.fitting_queues) == (0, 0)
    assert [(one.need, one.pilots, one.queues) for one in said.failures] == [("limit", 2, 1)]


def test_a_limit_counts_where_it_says() -> None:
    """A limit of one site keeps jobs out of that site alone; of cores, only jobs that ask for more than is left."""
    said = said_under(full(Limit("here", cores=8, site="here"), cores=7), asked=needs(cores=2))
    assert (said.fitting_pilots, [(one.need, one.asked) for one in said.failures]) == (
        1,
        [("limit", "room under the limit here")],
    )
    assert said_under(full(Limit("here", cores=8, site="here"), cores=7)).fitting_pilots == 2
    for other in (
        Limit("l", attempts=0, community="d"),
        Limit("l", attempts=0, group="h"),
        Limit("l", attempts=0, owner="p"),
        Limit("l", attempts=0, queue="r"),
        Limit("l", attempts=0, tag="solver"),
    ):
        assert said_under(full(other)).failures == ()
    assert said_under(full(Limit("l", attempts=0, tag="x")), asked=needs(tags="x")).failures[-1].need == "limit"


def test_each_full_limit_is_told_by_itself() -> None:
    """Two limits are two reasons."""
    said = said_under(full(Limit("a", attempts=1), 1), full(Limit("b", cores=4), cores=4), full(Limit("c", cores=9)))
    assert [one.asked for one in said.failures] == ["room under the limit a", "room under the limit b"]
    assert "4 of 4 cores out" in said.summary


def test_pilots_with_the_same_offer_are_looked_at_once_and_counted_all() -> None:
    """Equal offers are one candidate that counts for all of them; a suspect machine is another one."""
    pilots = [Candidate.pilot(free(number, offer()), "suspect" if number == 9 else "") for number in range(10)]
    made = distinct([*pilots, Candidate.queue(offer()), Candidate.queue(offer(queue="r"))])
    assert [(one.count, one.is_pilot, one.barred) for one in made] == [
        (9, True, ""),
        (1, True, "suspect"),
        (1, False, ""),
        (1, False, ""),
    ]
    said = explain(job().job, needs(), Circumstances(made, {}))
    assert (said.pilots, said.fitting_pilots, said.queues, said.fitting_queues) == (10, 9, 2, 2)
    assert [(one.need, one.pilots, one.example) for one in said.failures] == [
        ("machine", 1, "pilot 00000009 at here: one that is suspect")
    ]


def test_a_suspect_machine_says_when_it_is_tried_again() -> None:
    """While jobs fail on a machine one after another it gets none, but for one now and then."""
    assert suspected(None, 100.0) == ""
    assert suspected(Suspicion(10, 50.0, 75.0, 135.0, trying=False), 100.0) == (
        "suspect for 25s: 10 jobs failed there, one after another; another one tries it in 35s"
    )
    assert suspected(Suspicion(11, 50.0, 75.0, 90.0, trying=True), 100.0).endswith("and one tries it now")
    assert suspected(Suspicion(11, 50.0, 75.0, 90.0, trying=False), 100.0) == ""
    why = "suspect for 25s: 10 jobs failed there"
    for agents in ([], [Candidate.pilot(free(1, offer()), why)]):  # whether it has asked for jobs or not
        said = explain_agents(pilot(), Circumstances(agents, {}), [(task(1), 3)], why)
        assert said.summary == f"It gets no job now: the machine is {why}"


def test_a_job_that_only_suspect_machines_could_run() -> None:
    """The pilots there are counted, and the summary says what it waits for; where more is missing, that is said."""
    why = "suspect for 25s: 10 jobs failed there, one after another; another one tries it in 35s"
    now = Circumstances([Candidate.pilot(free(1, offer()), why), Candidate.queue(offer())], {})
    said = explain(job().job, needs(), now)
    assert (said.pilots, said.fitting_pilots, said.fitting_queues) == (1, 0, 1)
    assert said.summary == f"It would fit 1 live pilot, and waits: the machine of pilot 00000001 at here is {why}"
    assert "suspect" not in explain(job().job, needs(cores=99), now).summary


def test_room_that_is_kept_for_a_wide_job_is_no_room_for_others() -> None:
    """A job that would fit, were nothing kept for another, is told for what; the one that it is kept for fits."""
    kept = Kept(9, offer(cores=1), "7 cores are kept for a job of o")
    now = Circumstances([Candidate.pilot(free(1, offer()), kept=kept)], {})
    (failure,) = explain(job().job, needs(cores=2), now).failures
    assert (failure.need, failure.example) == ("reservation", "pilot 00000001 at here: 7 cores are kept for a job of o")
    assert explain(job().job, needs(cores=1), now).fitting_pilots == 1
    assert explain(job(task_queue=9).job, needs(cores=8), now).fitting_pilots == 1
    assert [one.need for one in explain(job().job, needs(cores=9), now).failures] == ["cores"]


def test_a_pilot_is_told_of_full_limits() -> None:
    """What waits and is kept from it by a limit does not fit it now."""
    agents = Circumstances([Candidate.pilot(free(1, offer()))], {}, [full(Limit("l", attempts=1, site="here"), 1)])
    said = explain_agents(pilot(), agents, [(task(1), 3)])
    assert (said.waiting, said.fitting, [one.need for one in said.failures]) == (3, 0, ["limit"])
    assert "room under the limit l and finds 1 of 1 attempts out" in said.summary


def test_needs_that_are_met_only_apart() -> None:
    """When each need is met somewhere but never all together, that is what is said."""
    said = explain_job(job(needs(cores=8, memory=9)), [], [offer(memory=None), offer(cores=1)], {})
    assert said.summary == "Nothing here meets all of its needs at once"
    assert {(one.need, one.queues) for one in said.failures} == {("memory", 1), ("cores", 1)}


def test_nobody_there() -> None:
    """Without pilots and queues there is nothing to compare with."""
    said = explain_job(job(), [], [], {})
    assert said.summary == "There is no live pilot and no configured queue"
    assert (said.nearest, said.failures) == ("", ())


def test_what_other_communities_have_is_counted_but_not_shown() -> None:
    """Pilots of others fail the need for a pilot of one's own; nothing else of them is told."""
    said = explain_job(job(), [free(1, offer(communities=("d",), site="secret"))], [], {})
    assert [(one.need, one.pilots, one.example) for one in said.failures] == [("community", 1, "")]
    assert said.nearest == ""
    assert "secret" not in repr(said)


@pytest.mark.parametrize(
    ("detail", "summary"),
    [
        (job(state=JobState.HELD, reason="ten nodes in a row failed"), "It is held: ten nodes in a row failed"),
        (job(state=JobState.RUNNING, attempt=2, site="x"), "It does not wait: attempt 2 is running at x"),
        (job(state=JobState.DONE), "It is over: done"),
        (job(state=JobState.FAILED, reason="exit code 3"), "It is over: failed: exit code 3"),
    ],
)
def test_a_job_that_does_not_wait(detail: JobDetail, summary: str) -> None:
    """Only a waiting job is compared with anything."""
    said = explain_job(detail, [free(1, offer())], [offer()], {})
    assert (said.summary, said.pilots, said.queues) == (summary, 0, 0)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (needs(), None),
        (needs(cores=9, max_cores=9),
         "no configured queue can run it; at the nearest, q, it asks for 9 cores and finds 8 cores"),
        (needs(cores=65, max_cores=65, memory=2 * GB),
         "no configured queue can run it; at the nearest, q, it asks for 65 cores and finds 8 cores"),
    ],
)  # fmt: skip
def test_what_no_queue_can_run_is_told_at_submission(asked: Needs, sentence: str | None) -> None:
    """A job that nothing configured can ever run is stored with a warning that names the nearest queue."""
    assert never_satisfiable(asked, "c", [offer(), offer(queue="tiny", cores=1, memory=GB)]) == sentence


def test_a_community_without_queues_is_told() -> None:
    """Queues of others are none for it."""
    assert never_satisfiable(needs(), "d", [offer()]) == "no configured queue serves d"


# -- pilots -----------------------------------------------------------------------------------------------------------


def test_a_pilot_is_told_what_waits_and_why_it_does_not_fit() -> None:
    """For each need: how many jobs of how many queues have it."""
    queues = [(task(1, cores=9, max_cores=9), 4), (task(2, cores=64, max_cores=64), 3), (task(3, tags="gpu"), 2)]
    said = explain_pilot(pilot(), [offer()], queues)
    assert said.summary == "None of 9 waiting jobs fits; the nearest asks for 9 cores and finds 8 cores"
    assert (said.waiting, said.fitting) == (9, 0)
    assert [(one.need, one.jobs, one.queues, one.pilots) for one in said.failures] == [
        ("cores", 7, 2, 1),
        ("tags", 2, 1, 1),
    ]
    assert said.failures[0].example == "the nearest asks for 9 cores and finds 8 cores"


def test_a_pilot_with_several_agents_fits_where_one_of_them_does() -> None:
    """A job has to fit one agent, not all of them."""
    said = explain_pilot(pilot(), [offer(cores=0), offer()], [(task(1), 3)])
    assert (said.fitting, said.failures) == (3, ())
    assert said.summary == "3 waiting jobs would fit: it gets some when it asks the next time"


@pytest.mark.parametrize(
    ("row", "summary"),
    [
        (pilot(), "No job of c waits"),
        (pilot(state=PilotState.DRAINING), "It drains: it takes no new jobs"),
        (pilot(state=PilotState.SUBMITTED), "It has not called back yet: it is submitted"),
        (pilot(state=PilotState.DONE, reason=PilotReason.IDLE), "It is over: done (idle)"),
        (pilot(alarm="two keys"), "It gets no jobs until somebody has looked at its alarm: two keys"),
    ],
)
def test_a_pilot_that_is_given_nothing_whatever_waits(row: object, summary: str) -> None:
    """The state of a pilot may be reason enough."""
    assert explain_pilot(row, [offer()], []).summary == summary  # type: ignore[arg-type]


def test_a_pilot_that_has_not_asked() -> None:
    """Before its first offer there is nothing to compare."""
    said = explain_pilot(pilot(), [], [(task(1), 1)])
    assert (said.stamp, said.summary) == (STAMP, "It has not asked for jobs yet")


@st.composite
def drawn_limits(draw: st.DrawFn) -> list[LimitUse]:
    """A few limits that often count what is drawn, some of them full."""
    few, maybe = st.integers(0, 6), st.booleans()
    return [
        LimitUse(
            Limit(
                f"limit-{number}",
                attempts=draw(st.one_of(st.none(), few)),
                cores=draw(few),
                site="s1" if draw(maybe) else None,
                queue="q" if draw(maybe) else None,
                community="c" if draw(maybe) else None,
                owner="o1" if draw(maybe) else None,
                tag="a" if draw(maybe) else None,
            ),
            draw(few),
            draw(few),
        )
        for number in range(draw(st.integers(0, 3)))
    ]


@st.composite
def drawn_plain_task(draw: st.DrawFn) -> TaskQueue:
    """A task queue that fits most nodes."""
    least = draw(st.integers(1, 3))
    asked = needs(
        cores=least,
        max_cores=draw(st.sampled_from([least, least + 2, 16])),
        whole_node=draw(st.sampled_from([False, False, True])),
        tags=draw(st.sampled_from(["", "a", "a | b"])),
    )
    return TaskQueue(1, draw(st.sampled_from("cd")), "g", draw(st.sampled_from(["o1", "o2"])), asked)


# -- laws -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(drawn_tasks(most=4), drawn_offers(), drawn_offers())
def test_explain_says_that_a_job_fits_exactly_when_it_would_be_matched(
    tasks: list[TaskQueue], node: Offer, other: Offer
) -> None:
    """Explanations of jobs, of pilots and of empty answers agree with what the match would do."""
    made = TaskQueues()
    made.add([waiting(one) for one in tasks])
    for one in tasks:
        alone = TaskQueues()
        alone.add([waiting(one)])
        matched = bool(alone.choose(node, 1).picks)
        detail = job(one.needs, community=one.community, owner=one.owner)
        said = explain_job(detail, [free(1, node)], [node], {})
        assert (said.fitting_pilots, said.fitting_queues) == (matched, matched)
        assert (said.failures == ()) == matched
        # What a queue declares names no owners: that is the site's word, which its pilots find.
        declared = [replace(each, owners=None) for each in (node, other)]
        satisfiable = never_satisfiable(one.needs, one.community, declared) is None
        assert satisfiable == any(fits(one, each) for each in declared)
    told = explain_pilot(pilot(communities=node.communities), [node], made.queues(node.communities))
    assert (told.fitting > 0) == made.any_fits(node)
    if not made.any_fits(node):
        there = made.samples(node.communities, 100)
        assert nothing_for(node, there)[0] == ("nothing-fits" if there else "nothing-waits")


@settings(max_examples=200)
@given(drawn_plain_task(), st.integers(1, 6), st.sampled_from(["s1", "s2"]), drawn_limits())
def test_explain_says_that_a_full_limit_is_in_the_way_exactly_when_the_store_would_give_nothing(
    one: TaskQueue, cores: int, site: str, uses: list[LimitUse]
) -> None:
    """What is chosen is claimed under the limits that count it, and the store lets in as many as there is room for."""
    node = offer(cores=cores, site=site, tags=("a", "b"), communities=("c", "d"))
    made = TaskQueues(limits=Limits([use.limit for use in uses]))
    made.add([waiting(one)])
    counting = Counting(uses)
    given = any(counting.allowed(pick) for pick in made.choose(node, 1, tries=False).picks)
    candidates = [Candidate.pilot(free(1, node))]
    view = replace(job().job, community=one.community, group=one.group, owner=one.owner)
    said = explain(view, one.needs, Circumstances(candidates, {}, uses))
    assert bool(said.fitting_pilots) == given
    agents = explain_agents(pilot(communities=(one.community,)), Circumstances(candidates, {}, uses), [(one, 1)])
    assert bool(agents.fitting) == given
