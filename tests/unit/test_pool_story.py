"""Short stories of a node and its agent, each of several steps, as people tell what a pool of slots must do."""

from __future__ import annotations

import json

from pilot import codec
from pilot.attempts.slots import NoRoom, Slots
from pilot.attempts.verdict import judge
from pilot.attempts.watchdog import Limits
from pilot.payloads.payload import Ended
from pilot.protocol import LeaseReport, Needs, Usage
from pilot.states import Outcome, Phase
from tests.unit.test_run_jobs import Scene, leases
from tests.unit.test_slots import Capacity

MB = 1_000_000


def test_three_jobs_of_which_two_fit() -> None:
    """Of 4 cores and 16 GB one job takes a core, the next two and 4 GB; a third, for two, takes nothing."""
    slots = Slots(Capacity(cores=4, memory=16_000 * MB))
    first = slots.allocate((1, 1), Needs())
    assert not isinstance(first, NoRoom)
    assert (first[0].free_cores, first[0].free_memory) == (3, 16_000 * MB)
    second = first[0].allocate((2, 1), Needs(2, 2, memory=4_000 * MB))
    assert not isinstance(second, NoRoom)
    assert (second[0].free_cores, second[0].free_memory) == (1, 12_000 * MB)
    assert isinstance(second[0].allocate((3, 1), Needs(2, 2)), NoRoom)
    assert (second[0].free_cores, second[0].free_memory) == (1, 12_000 * MB)
    after = second[0].release((1, 1)).release((2, 1))
    assert (after.free_cores, after.free_memory, dict(after.taken)) == (4, 16_000 * MB, {})


def test_exactly_what_is_there_is_granted_and_more_is_refused() -> None:
    """A job that asks for all of it gets all of it; one that asks for more of anything gets nothing."""
    slots = Slots(Capacity(cores=8, memory=2_048 * MB))
    assert not isinstance(slots.allocate((1, 1), Needs(8, 8, memory=2_048 * MB)), NoRoom)
    assert isinstance(slots.allocate((1, 1), Needs(9, 12, memory=1)), NoRoom)
    assert isinstance(slots.allocate((1, 1), Needs(4, 8, memory=2_500 * MB)), NoRoom)


def test_a_full_node_asks_for_nothing() -> None:
    """While every core is taken no job is asked for, what runs goes on, and the next request comes when one is free."""
    scene = Scene(idle=30)
    scene.computing.length = 1000.0
    scene.central.replies = [leases(1, 2)]
    scene.run()
    assert [offer.cores for offer in scene.central.offers[:2]] == [2, 2]
    assert all(offer.cores > 0 for offer in scene.central.offers)
    assert scene.computing.started == [1, 2]
    assert scene.clock.time >= 2000.0


def test_what_was_not_measured_is_left_out() -> None:
    """Before anything was measured a lease is told without amounts: no zero, no infinity stands for what is unknown."""
    told = json.loads(codec.dumps(LeaseReport(1, 1, Phase.RUNNING, Usage())))
    assert set(told["usage"]) <= {"wall"}
    assert told["usage"].get("wall", 0.0) == 0.0


def test_who_asked_for_no_memory_has_no_claim_on_it() -> None:
    """When the machine runs out, who was promised memory is a victim, and who ate without asking was too greedy."""
    starved = Ended(None, 9, 1.0, None, starved=1)
    promised = judge(starved, None, Usage(), Limits(memory=10**9))
    assert (promised.outcome, promised.limit) == (Outcome.NODE_FAULT, None)
    greedy = judge(starved, None, Usage(), Limits(memory=10**9, promised=False))
    assert (greedy.outcome, greedy.limit) == (Outcome.LIMIT_EXCEEDED, "memory")
    assert "asked for none" in greedy.message
