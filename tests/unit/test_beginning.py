"""How a monitor begins."""

from __future__ import annotations

import pytest

from pilot.monitor.beginning import ending_with
from pilot.protocol import UNLIMITED, Amount, Settings


@pytest.mark.parametrize(
    ("ends", "granted", "left"),
    [
        (None, UNLIMITED, UNLIMITED),
        (None, 60, 60),
        (5000, UNLIMITED, 1000),
        (5000, 60, 60),
        (5000, 6000, 1000),
        (3000, 60, 0),
    ],
)
def test_a_pilot_ends_with_its_machine(ends: int | None, granted: Amount, left: Amount) -> None:
    """Of what the central grants and what the machine has left, the less; a machine that should be off has nothing."""
    assert ending_with(ends, Settings(end_of_life=granted), 4000.5 if left == 0 else 4000.0).end_of_life == left
