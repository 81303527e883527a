"""Machines that are kept without looking at what waits: how many are started, by what the last ones reported."""

from __future__ import annotations

import pytest

from central.directors.backoff import Past, PilotEnd, Setback
from central.directors.control import Cause, Limits, Supply
from central.directors.vacuum import PAUSE, PAUSE_CAP, kept
from central.elements.port import Trouble
from pilot.states import PilotReason

NOW = 1_000_000.0
LIMITS = Limits(slots=20, per_cycle=5, cores=4)
NONE = Supply(live=0, coming=0, idle_cores=0)


def end(ago: float, reason: PilotReason = PilotReason.IDLE, useful: bool = False, lived: float = 60.0) -> PilotEnd:
    return PilotEnd(NOW - ago, reason, useful, began=NOW - ago - lived)


def test_what_is_missing_is_started() -> None:
    """So many are kept, whatever waits, within the ramp and the queue's slots."""
    assert kept(8, NONE, LIMITS, Past(), NOW).pilots == 5
    assert kept(8, Supply(6, 2, 0), LIMITS, Past(), NOW).pilots == 2
    full = kept(8, Supply(8, 0, 32), LIMITS, Past(), NOW)
    assert (full.pilots, full.cause) == (0, Cause.SLOTS)
    assert kept(50, Supply(20, 0, 0), LIMITS, Past(), NOW).pilots == 0


def test_one_that_had_a_job_is_replaced_at_once() -> None:
    """A pilot that ended after its jobs says that there is work."""
    assert kept(3, NONE, LIMITS, Past([end(1, useful=True), end(5)]), NOW).pilots == 3


def test_one_that_found_nothing_stops_the_others() -> None:
    """After a pilot that found no job nothing is started for a while, then a single one, and none beside it."""
    past = Past([end(10)])
    shut = kept(3, NONE, LIMITS, past, NOW)
    assert (shut.pilots, shut.cause, shut.until) == (0, Cause.NO_DEMAND, NOW - 10 + PAUSE)
    assert shut.need == 3
    assert kept(3, NONE, LIMITS, past, NOW + PAUSE).pilots == 1
    assert kept(3, Supply(1, 1, 0), LIMITS, past, NOW + PAUSE).pilots == 0


def test_the_pause_grows_with_each_round() -> None:
    """Each probe that finds nothing doubles the pause, up to a bound; pilots that were out together count as one."""
    two = [end(10), end(2000)]
    assert kept(3, NONE, LIMITS, Past(two), NOW).until == NOW - 10 + 2 * PAUSE
    together = [end(10, lived=500), end(20, lived=500), end(30, lived=500)]
    assert kept(3, NONE, LIMITS, Past(together), NOW).until == NOW - 10 + PAUSE
    many = [end(10 + 10_000 * number) for number in range(20)]
    assert kept(3, NONE, LIMITS, Past(many), NOW).until == NOW - 10 + PAUSE_CAP


def test_a_live_pilot_with_a_job_opens_it() -> None:
    """When a pilot that runs has had a job since, there is work again."""
    assert kept(3, Supply(1, 0, 0), LIMITS, Past([end(100)], good=NOW - 50), NOW).pilots == 2


@pytest.mark.parametrize(
    ("past", "cause"),
    [
        (Past([end(1, PilotReason.UNFIT)]), Cause.BACK_OFF),
        (Past(setback=Setback(Trouble.FULL, "no quota", NOW)), Cause.FULL),
    ],
)
def test_what_else_went_wrong(past: Past, cause: Cause) -> None:
    """Pilots that end badly, and a cloud that takes none, shut the queue as they shut any other."""
    found = kept(3, NONE, LIMITS, past, NOW)
    assert (found.pilots, found.cause) == (0, cause)
    assert found.until
    assert found.until > NOW
    assert kept(3, NONE, LIMITS, past, found.until).pilots == 1
