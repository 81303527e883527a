"""What a queue's machines cost and were good for, and whether they can be had: what other queues are told."""

from __future__ import annotations

import anyio

from central.directors.backoff import Gate, Past, PilotEnd, Setback
from central.directors.board import PROMISE
from central.directors.control import Limits, Supply
from central.directors.pricing import FRESH
from central.directors.worth import Use, Worth
from central.elements.port import ComputingError, Trouble
from pilot.states import PilotReason

LIMITS = Limits(slots=10, per_cycle=5, cores=8)
NOW = 100_000.0


class Told:
    """What is asked for, and how often it was."""

    def __init__(self, hour: float | None = 0.4) -> None:
        self.hour = hour
        self.error: ComputingError | None = None
        self.asked = 0

    async def price(self, now: float) -> float | None:
        self.asked += 1
        if self.error:
            raise self.error
        return self.hour

    async def use(self, now: float) -> Use:
        return Use(good=50_000.0, whole=100_000.0)


def looked(worth: Worth, *moments: float) -> None:
    for moment in moments:
        anyio.run(worth.look, moment)


def test_prices_are_asked_for_now_and_then() -> None:
    """Within some minutes nobody is asked twice; after that a new price counts."""
    told = Told()
    worth = Worth(told.price, told.use)
    looked(worth, NOW, NOW + FRESH - 1)
    assert (told.asked, worth.hour) == (1, 0.4)
    told.hour = 0.8
    looked(worth, NOW + FRESH)
    assert (told.asked, worth.hour) == (2, 0.8)
    assert 0.5 < worth.efficiency < 0.8


def test_what_costs_nothing_any_more_costs_nothing() -> None:
    """A price of zero is a price; only one that is not known leaves the last."""
    told = Told()
    worth = Worth(told.price, told.use)
    looked(worth, NOW)
    told.hour = None
    looked(worth, NOW + FRESH)
    assert worth.hour == 0.4
    told.hour = 0.0
    looked(worth, NOW + 2 * FRESH)
    assert worth.hour == 0.0


def test_a_cloud_that_does_not_tell_changes_nothing() -> None:
    """When the price cannot be had the last one counts, and the director goes on."""
    told = Told()
    worth = Worth(told.price, told.use)
    looked(worth, NOW)
    told.error = ComputingError("it does not answer", Trouble.UNREACHABLE)
    looked(worth, NOW + FRESH)
    assert worth.hour == 0.4


def test_what_others_are_told() -> None:
    """A queue has room for what its slots leave, none where it is shut, and is slow when its pilots do not come."""
    told = Told()
    worth = Worth(told.price, told.use)
    looked(worth, NOW)
    door = worth.door("q", Supply(4, 1, 0), LIMITS, Past(), NOW - 10, NOW)
    assert (door.room, door.takes, door.slow) == (6, 48.0, False)
    shut = Past(setback=Setback(Trouble.FULL, "quota", NOW - 1))
    assert worth.door("q", Supply(4, 1, 0), LIMITS, shut, None, NOW).takes == 0
    assert worth.door("q", Supply(4, 1, 0), LIMITS, Past(), NOW - PROMISE - 1, NOW).takes == 0


def test_machines_that_are_taken_back_soon_are_not_trusted() -> None:
    """After several spot machines that were taken back within the hour their queue is shut; another queue is not."""
    ends = [PilotEnd(NOW - 60 * n, PilotReason.SIGNAL, True, began=NOW - 60 * n - 300) for n in (1, 2, 3)]
    past = Past(ends)
    told = Told()
    assert Worth(told.price, told.use, spot=True).trusted(past, NOW).gate is Gate.SHUT
    assert Worth(told.price, told.use).trusted(past, NOW).gate is Gate.OPEN
    assert Worth(told.price, told.use, spot=True).door("q", Supply(0, 0, 0), LIMITS, past, None, NOW).takes == 0
