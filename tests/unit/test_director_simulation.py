"""The directors' decisions over a day of jobs, in virtual time."""

from __future__ import annotations

import pytest

from bench import load, snapshot
from bench.simulation import Policy, Simulation, World
from central.directors.site import SECOND_LOOK

WORLD = World(queues=6, slots=30, jobs=600, span=4 * 3600.0, longest=3600.0)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> load.Load:
    monkeypatch.delenv(snapshot.VARIABLE, raising=False)
    return load.production(None)


def test_every_job_is_run_and_asked_for_within_a_cycle(work: load.Load) -> None:
    """All jobs run; for each that finds no free core a director has asked for a pilot, or has some coming, within one
    cycle; and another run with the same seed is the same."""
    found = Simulation(WORLD, work, Policy.OURS).run()
    assert len(found.waits) == WORLD.jobs
    assert 0 < len(found.requests) < WORLD.jobs
    assert found.last_request <= WORLD.cycle + SECOND_LOOK
    assert found == Simulation(WORLD, work, Policy.OURS).run()


def test_little_more_is_idle_than_under_a_clairvoyant(work: load.Load) -> None:
    """The part of the pilots' core time in which nothing runs is little more than that of one who knows all in advance;
    where each queue sent pilots for all that it sees, there would be far more pilots."""
    ours, alone, best = (Simulation(WORLD, work, policy).run() for policy in Policy)
    assert ours.idle_part < best.idle_part + 0.15
    assert ours.pilots < 0.7 * alone.pilots
    assert len(best.waits) == WORLD.jobs
