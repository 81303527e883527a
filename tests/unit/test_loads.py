"""The history of a virtual machine's load: a bounded number of samples over its life."""

from __future__ import annotations

from itertools import pairwise

import pytest

from central.store.loads import EARLY, SPANS, sampled
from pilot.protocol import Fact
from pilot.views import MachineLoad

MINUTE, DAY = 60, 86_400


def facts(load: object = 1.0) -> list[Fact]:
    return [Fact("load_1", load, "/proc/loadavg"), Fact("jobs", 3, "t"), Fact("disk_free", None, "t")]  # type: ignore[arg-type]


def lived(seconds: int, every: float = MINUTE) -> tuple[MachineLoad, ...]:
    history: tuple[MachineLoad, ...] = ()
    for turn in range(int(seconds / every) + 1):
        history = sampled(history, facts(float(turn)), 1000.0 + turn * every)
    return history


@pytest.mark.parametrize("seconds", [2 * 3600, DAY, 14 * DAY])
def test_it_is_bounded_and_spans_the_whole_life(seconds: int) -> None:
    """The first sample stays, the newest is not far off, gaps are alike, and there are neither many nor few."""
    history = lived(seconds)
    gaps = [later.time - earlier.time for earlier, later in pairwise(history)]
    assert SPANS / 2 <= len(history) <= SPANS / EARLY + 1
    assert (history[0].time, history[0].load) == (1000.0, 0.0)
    assert 1000.0 + seconds - history[-1].time <= max(gaps)
    assert max(gaps) <= 2 * min(gaps)


def test_what_comes_a_little_early_counts() -> None:
    """A pilot that speaks every 58 s has a sample for each time that it does; one that speaks each second has not."""
    assert len(lived(10 * 58, every=58)) == 11
    assert len(lived(600, every=1)) == 1 + 600 // int(60 * EARLY)


@pytest.mark.parametrize("load", [None, "much", True, -1, 10**400, 1e300])
def test_what_is_no_load_adds_nothing(load: object) -> None:
    """A load that could not be read or is none, and words of others, leave the history as it is."""
    before = lived(600)
    assert sampled(before, facts(load), 5000.0) == before
    assert sampled(before, [Fact("host", "n1", "t")], 5000.0) == before


def test_a_sample_says_what_was_known() -> None:
    """Jobs and free disk go with it where they were said."""
    assert sampled((), facts(2), 7.0) == (MachineLoad(7.0, 2.0, 3, None),)
