"""Whatever happens to clouds, machines and directors, in whatever order: no machine is left over, none is deleted that
works, and every job ends once.

A sequence is drawn from its number, and is the same each time. One that breaks a law is shortened, and told as calls
that can be pasted into a test.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence

import pytest

from tests.contract.cloud_storm import Happening, Storm, Story, lighten, several

#: Sequences that are tried. The lane of storms, which `./dev test --all` runs, asks for many more.
SEQUENCES = int(os.environ.get("PILOTAGE_CLOUD_STORMS", "500"))
#: Sequences that share a store, since making one takes longer than a sequence does.
TOGETHER = 50
STEPS = 40
HAPPENINGS: Sequence[tuple[Happening, int]] = (  # and how often each is drawn
    (Storm.time_passes, 8),
    (Storm.hours_pass, 3),
    (Storm.jobs_come, 3),
    (Storm.a_turn, 10),
    (Storm.a_turn_of_one_that_was_deposed, 1),
    (Storm.killed_before, 1),
    (Storm.killed_after, 1),
    (Storm.the_cloud_is_bad, 2),
    (Storm.one_fault, 2),
    (Storm.the_cloud_is_well, 2),
    (Storm.the_quota_changes, 1),
    (Storm.one_is_reclaimed, 1),
    (Storm.one_reboots, 1),
    (Storm.one_powers_off, 1),
    (Storm.one_vanishes, 1),
    (Storm.one_hangs, 1),
    (Storm.one_is_cut_off, 2),
    (Storm.the_central_is_cut_off, 2),
    (Storm.a_secret_is_stolen, 1),
    (Storm.somebody_drains_one, 1),
    (Storm.a_machine_of_nobody, 1),
    (Storm.a_queue_is_taken_away, 1),
    (Storm.deletions_are_refused, 1),
    (Storm.deletions_are_ignored, 1),
)


def story(seed: int) -> Story:
    rng = random.Random(seed)
    happenings, weights = zip(*HAPPENINGS, strict=True)
    drawn = rng.choices(happenings, weights, k=rng.randint(5, STEPS))
    return [(Storm.jobs_come, rng.randint(0, 25)), (Storm.a_turn, 0), *((one, rng.randint(0, 25)) for one in drawn)]


def shortened(seed: int, happenings: Story) -> Story:
    """Without what the law is broken without."""
    size = len(happenings) // 2
    while size:
        for place in range(0, len(happenings), size):
            shorter = [*happenings[:place], *happenings[place + size :]]
            if len(shorter) < len(happenings) and asyncio.run(several([seed], lambda _, tried=shorter: tried)):  # type: ignore[misc]
                happenings = shorter
                break
        else:
            size //= 2
    return happenings


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    lighten(monkeypatch)


@pytest.mark.parametrize("first", range(0, SEQUENCES, TOGETHER))
def test_no_storm_leaves_a_machine_or_ends_one_that_works(first: int) -> None:
    """Directors killed at any step and deposed, and every fault of a cloud, in any order: no machine is left over, none
    that works is deleted, none of others is touched, no stamp enrols twice, every job ends once; what will not be
    deleted is asked for again, and a person is told."""
    if found := asyncio.run(several(range(first, min(first + TOGETHER, SEQUENCES)), story)):
        seed, broken = found
        alone = asyncio.run(several([seed], story))
        shortest = shortened(seed, story(seed)) if alone else story(seed)
        calls = ", ".join(f"(Storm.{what.__name__}, {number})" for what, number in shortest)
        raise AssertionError(f"sequence {seed} ({'alone' if alone else 'not alone'}): [{calls}]: {broken}") from broken
