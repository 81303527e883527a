"""Which of several queues starts machines, by what they cost, what became of those before, and what room they have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.directors.backoff import Gate, Past, PilotEnd, Setback
from central.directors.board import Wait
from central.directors.choosing import PAUSE, PAUSE_CAP, WORTH, Door, Loss, aside, efficiency, losses, trust
from central.elements.port import Trouble
from pilot.states import PilotReason

NOW = 1_000_000.0
SPOT = Door("spot", 4, 0.04, room=5)
DEMAND = Door("on-demand", 4, 0.16, room=None)
CLUSTER = Door("cluster", 8, 0.0, room=2)
FITS = frozenset({1, 2})
WAITING = (Wait(1, 100, 1.0), Wait(2, 10, 4.0))


def taken(mine: Door, *others: Door, fits: frozenset[int] = FITS) -> dict[int, int]:
    """Jobs of each task queue that are left to `mine`."""
    return {one.task: one.jobs for one in aside(mine, [(door, fits) for door in others], WAITING)}


# -- queues beside each other -----------------------------------------------------------------------------------------
def test_the_cheapest_takes_what_it_can() -> None:
    """The cheapest queue leaves nothing to others; the next one takes what is beyond the room of the first."""
    assert taken(SPOT, DEMAND) == {1: 100, 2: 10}
    assert taken(DEMAND, SPOT) == {1: 80, 2: 10}
    assert taken(DEMAND, replace(SPOT, room=None)) == {1: 0, 2: 0}


def test_several_cheaper_ones() -> None:
    """What several cheaper queues can take together is left to them, each by the tasks that it fits."""
    assert taken(DEMAND, SPOT, CLUSTER) == {1: 100 - 20 - 16, 2: 10}
    assert taken(DEMAND, replace(SPOT, room=100), fits=frozenset({2})) == {1: 100, 2: 0}


@pytest.mark.parametrize("barred", [{"gate": Gate.SHUT}, {"slow": True}, {"room": 0}])
def test_one_that_takes_nothing(barred: dict[str, object]) -> None:
    """Nothing is left to a queue that is shut, full, or whose machines do not come: the dearer one steps in."""
    assert taken(DEMAND, replace(SPOT, **barred)) == {1: 100, 2: 10}  # type: ignore[arg-type]


def test_one_that_is_tried_again() -> None:
    """A queue that is half open gets what one machine can do."""
    assert taken(DEMAND, replace(SPOT, gate=Gate.HALF)) == {1: 96, 2: 10}


def test_of_two_at_one_price_none_waits() -> None:
    """Queues that cost the same do not leave jobs to each other; none compares itself with itself."""
    twin = replace(SPOT, queue="twin")
    assert taken(SPOT, twin) == taken(twin, SPOT) == taken(SPOT, SPOT) == {1: 100, 2: 10}


def test_a_core_that_does_something_is_what_is_bought() -> None:
    """Large machines are compared by core, and those whose time is lost half of the time cost twice as much."""
    assert Door("large", 16, 0.32, None).core_hour == pytest.approx(0.02)
    assert replace(SPOT, efficiency=0.2).core_hour > DEMAND.core_hour
    assert taken(replace(SPOT, efficiency=0.2), DEMAND) == {1: 0, 2: 0}


def test_efficiency_begins_with_a_guess() -> None:
    """Who has told nothing yet counts as most do, and who has told a lot as they told."""
    assert efficiency(0.0, 0.0) == pytest.approx(0.8)
    assert efficiency(5e7, 1e8) == pytest.approx(0.5, abs=0.001)
    assert 0 < efficiency(0.0, 1e9) < 0.001
    assert efficiency(1e9, 1e9) <= 1


# -- spot machines that were lost -------------------------------------------------------------------------------------
def test_one_loss_is_no_reason() -> None:
    """Spot machines are taken back at times: that is what they cost less for."""
    assert trust([], NOW).gate is Gate.OPEN
    assert trust([Loss(NOW - 1, 30.0)], NOW).gate is Gate.OPEN


def test_losses_in_a_row() -> None:
    """After two in a row nothing is bought for a while, and then one machine; the sentence says why and until when."""
    losses = [Loss(NOW - 10), Loss(NOW - 300, 120.0)]
    shut = trust(losses, NOW)
    assert (shut.gate, shut.until) == (Gate.SHUT, NOW - 10 + PAUSE)
    assert "the last 2 spot machines" in shut.why
    assert trust(losses, NOW + PAUSE).gate is Gate.HALF


def test_a_pause_grows() -> None:
    """Each further loss doubles the pause, up to a bound."""
    three = trust([Loss(NOW), Loss(NOW - 1), Loss(NOW - 2)], NOW)
    assert three.until == NOW + 2 * PAUSE
    many = trust([Loss(NOW - number) for number in range(500)], NOW)
    assert many.until == NOW + PAUSE_CAP


def test_a_machine_that_lasted_speaks_for_spot() -> None:
    """Losses before one that was worth its boot are forgotten, whether it is over or runs still."""
    before = [Loss(NOW - 500), Loss(NOW - 600), Loss(NOW - 700)]
    assert trust([Loss(NOW - 1), Loss(NOW - 400, WORTH), *before], NOW).gate is Gate.OPEN
    assert trust(before, NOW, good=NOW - 100).gate is Gate.OPEN
    assert trust(before, NOW, good=NOW - 650).gate is Gate.SHUT


def test_what_counts_as_lost() -> None:
    """The ends that a cloud makes, with how long each lasted, and its refusals for want of capacity; not the ends of
    pilots in good order, and no other trouble."""
    ends = [
        PilotEnd(NOW - 10, PilotReason.SIGNAL, True, began=NOW - 70),
        PilotEnd(NOW - 20, PilotReason.IDLE, True, began=NOW - 80),
        PilotEnd(NOW - 30, PilotReason.GONE, False, began=NOW - 30 - WORTH),
    ]
    full = Setback(Trouble.FULL, "InsufficientInstanceCapacity", NOW - 5, times=2)
    found = losses(Past(ends, full))
    assert found == [Loss(NOW - 5), Loss(NOW - 5), Loss(NOW - 10, 60.0), Loss(NOW - 30, WORTH)]
    assert losses(Past(setback=Setback(Trouble.UNREACHABLE, "no answer", NOW))) == []
    assert trust(found, NOW).gate is Gate.SHUT
