"""What the central makes of a site's word: whom it lets in, that it drains, where its files lie on the nodes."""

from __future__ import annotations

import pytest

from central.configuration.settings_file import InvalidSettings, read
from central.dispatching.binding import _narrowed
from central.explanations.explain import Candidate, Circumstances, explain
from central.explanations.policed import policed
from central.fleet.presence import FreePilot
from central.matching.matcher import failures, fits
from pilot.protocol import Fact
from pilot.states import PilotState
from tests.unit.explained import explain_pilot
from tests.unit.matching_scene import needs, offer, task
from tests.unit.pilot_rows import pilot
from tests.unit.test_dispatch import Scene, play
from tests.unit.test_explain import job


def test_who_is_not_named_is_kept_out_and_told_why() -> None:
    """A job of somebody whom the site does not name does not fit there; explain says so without naming the others."""
    node = offer(owners=("ann",))
    assert fits(task(owner="ann"), node)
    assert not fits(task(owner="eve"), node)
    (miss,) = failures(task(owner="eve"), node)
    assert (miss.need, str(miss)) == (
        "owner",
        "asks for entry for eve and finds a site whose policy names the owners that it lets in",
    )


def test_naming_nobody_lets_nobody_in_and_saying_nothing_everybody() -> None:
    """An empty list never means all."""
    assert not fits(task(owner="ann"), offer(owners=()))
    assert fits(task(owner="ann"), offer(owners=None))


def test_jobs_of_equal_needs_are_told_apart_by_their_owner() -> None:
    """Of two owners with jobs of one kind a pilot at such a site gets those of the one that is let in."""

    async def scenario(scene: Scene) -> None:
        scene.submit(task(1, owner="eve"), 2)
        scene.submit(task(2, owner="ann"), 2)
        answer = await scene.ask(node=offer(owners=("ann",)))
        assert [lease.queue for lease in answer.leases] == [2, 2]
        answer = await scene.ask(node=offer(owners=("bob",)))
        assert answer.reason == "nothing-fits"
        answer = await scene.ask(node=offer())
        assert [lease.queue for lease in answer.leases] == [1, 1]

    play(scenario)


def test_an_offer_may_leave_out_communities_and_add_none() -> None:
    """What a pilot may serve is what it was sent for; a site that lets in fewer narrows that."""
    assert _narrowed(("a", "b"), ("b", "c")) == ("b",)
    assert _narrowed(("a", "b"), ()) == ("a", "b")


def test_explain_says_whose_wish_it_is_that_a_pilot_drains() -> None:
    """A pilot that its site drains got nothing for that reason, in the site's own words."""
    why = "the site drains this computer (/etc/pilotage/drain): new kernel at 14:00"
    row = pilot(state=PilotState.DRAINING, facts=(Fact("drain", why, "/etc/pilotage/drain is there"),))
    assert explain_pilot(row, [offer()], []).summary == f"It drains: it takes no new jobs, since {why}"


def test_explain_names_the_policy_that_cuts_a_need() -> None:
    """Where the site's policy is what a job fails at, explain says so at the pilot, in the nearest and in the sum."""
    facts = (
        Fact("policy", "/etc/pilotage/policy.yaml", "the site's word"),
        Fact("cores", 1, "affinity; of it 25 % by the site's policy /etc/pilotage/policy.yaml"),
        Fact("memory", 8, "cgroups"),
    )
    node = offer(owners=("ann",), cores=1)
    cuts = policed(facts, node, node.communities)
    assert [need for need, _ in cuts] == ["owner", "cores"]
    assert policed(facts[1:], node, ()) == ()
    agent = Candidate.pilot(FreePilot("f" * 32, 1, node), cuts=cuts)
    said = explain(job(owner="eve").job, needs(cores=2), Circumstances([agent, Candidate.queue(offer(cores=8))], {}))
    by_need = {failure.need: failure.example for failure in said.failures}
    assert by_need["owner"].endswith("lets in (the site's policy /etc/pilotage/policy.yaml)")
    assert by_need["cores"].endswith("(25 % by the site's policy /etc/pilotage/policy.yaml)")
    assert said.summary.startswith("No live pilot has room for it now: at pilot ffffffff")
    assert "the site's policy /etc/pilotage/policy.yaml" in said.summary


QUEUE = """
[[sites]]
name = "s"
[[communities]]
name = "c"
[[queues]]
name = "q"
site = "s"
"""


def test_a_queue_names_the_sites_files() -> None:
    """Where a site keeps its policy, and which file it touches, are paths of its nodes: from the root, or a mistake."""
    (queue,) = read(QUEUE + 'policy = "/cvmfs/site/policy.yaml"\ndrain_file = "/shared/drain"\n').queues
    assert (queue.policy, queue.drain_file) == ("/cvmfs/site/policy.yaml", "/shared/drain")
    with pytest.raises(InvalidSettings, match="drain_file: expected an absolute path, got 'drain'"):
        read(QUEUE + 'drain_file = "drain"\n')
