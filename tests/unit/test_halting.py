"""When a machine without work halts."""

from __future__ import annotations

import pytest

from pilot.halting import ELASTIC, NEVER, STATIC, Halting, halts_in

NOT = float("inf")
PAID = Halting(ELASTIC, 3600)


@pytest.mark.parametrize(
    ("halting", "up", "idle", "running", "left"),
    [
        # elastic: after so long without work, and not before
        (Halting(), 5000, 0, False, 300),
        (Halting(), 5000, 299, False, 1),
        (Halting(), 5000, 300, False, 0),
        (Halting(), 5000, 420, False, -120),
        # while a payload runs nothing halts, whatever the policy
        (Halting(), 5000, 300, True, NOT),
        (PAID, 3590, 600, True, NOT),
        # paid by the hour: until near its end, also where the queue's patience is over long before
        (PAID, 1000, 400, False, 2300),
        (PAID, 3299, 2000, False, 1),
        (PAID, 3300, 2000, False, 0),
        (PAID, 3590, 2000, False, -290),
        # of the next hour too, and an idleness that began in the last minutes counts once it has settled
        (PAID, 7100, 100, False, -40),
        (PAID, 3550, 50, False, 10),
        # one that settles beyond the end has begun another hour, and stays for that
        (PAID, 3590, 40, False, 3310),
        # a period of ten minutes: the second half of it
        (Halting(ELASTIC, 600), 600 + 299, 60, False, 1),
        (Halting(ELASTIC, 600), 600 + 300, 60, False, 0),
        # of a short one, at most its half
        (Halting(ELASTIC, 60), 89, 80, False, 1),
        # static and never stay whatever they find
        (Halting(STATIC), 10**6, 10**6, False, NOT),
        (Halting(STATIC, 3600), 3599, 3000, False, NOT),
        (Halting(NEVER), 10**6, 10**6, False, NOT),
        (Halting(NEVER, 600), 599, 590, False, NOT),
    ],
)
def test_when_it_halts(halting: Halting, up: float, idle: float, running: bool, left: float) -> None:
    """Each policy as a table: seconds that are left, negative once it should have halted."""
    assert halts_in(halting, 300, up=up, idle=idle, running=running) == left


def test_time_alone_moves_nothing_but_the_rest() -> None:
    """For a machine that stays idle the moment is one and the same, whenever it is asked."""
    for halting in (Halting(), PAID, Halting(ELASTIC, 600)):
        moments = {up + halts_in(halting, 300, up=up, idle=up - 1234, running=False) for up in range(1234, 9000, 7)}
        assert len(moments) == 1


def test_it_says_why() -> None:
    """The central reads for want of what it ended."""
    assert Halting().why(300) == "no job for 300 s"
    assert PAID.why(300) == "no job, and the period that is paid for ends"
