"""What our directors buy of a cloud in a day of virtual time, beside one who knows all in advance."""

from __future__ import annotations

import pytest

from bench import load, snapshot
from bench.cloud_buying import HOUR, Buying
from bench.simulation import Policy, World

WORLD = World(queues=6, slots=30, jobs=600, span=4 * 3600.0, longest=3600.0)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> load.Load:
    monkeypatch.delenv(snapshot.VARIABLE, raising=False)
    return load.production(None)


@pytest.mark.parametrize("period", [0, int(HOUR)])
def test_little_more_is_bought_than_by_a_clairvoyant(work: load.Load, period: int) -> None:
    """Both run all jobs; ours buy at most a third more hours in a short day of short jobs, nobody buys less than the
    work needs, and for one who knows all no job waits."""
    ours, best = (Buying(WORLD, work, policy, period).buy() for policy in (Policy.OURS, Policy.CLAIRVOYANT))
    assert len(ours.waits) == len(best.waits) == WORLD.jobs
    assert ours.work == pytest.approx(best.work)
    assert ours.work < ours.hours < 4 / 3 * best.hours
    assert best.work < best.hours
    assert best.waits[-1] == 0


def test_hours_that_are_paid_whole_are_used(work: load.Load) -> None:
    """Paid by the hour, each machine costs whole hours, and fewer machines are bought than by the second."""
    second, hour = (Buying(WORLD, work, Policy.OURS, period).buy() for period in (0, int(HOUR)))
    assert hour.hours == round(hour.hours)
    assert hour.machines < second.machines


def test_the_same_seed_buys_the_same(work: load.Load) -> None:
    """Two runs are the same."""
    first, second = (Buying(WORLD, work, Policy.OURS, 0).buy() for _ in range(2))
    assert first == second
