"""Centrals agree on the time: it is the database's."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from central.database_time import EVERY, SLOWEST, DatabaseTime
from central.store.port import Store
from pilot.errors import Refusal
from tests.unit.clockwork import Clockwork


class Database:
    """Tells the time: `ahead` of the clock, after `takes` seconds."""

    def __init__(self, clock: Clockwork) -> None:
        self.clock = clock
        self.ahead = 5000.0
        self.takes = 0.0
        self.away = False

    async def now(self) -> float:
        if self.away:
            raise Refusal("busy", "away")
        self.clock.time += self.takes / 2
        time = self.clock.time + self.ahead
        self.clock.time += self.takes / 2
        return time


class Scene:
    def __init__(self, machine: float = 0.0) -> None:
        self.clock = Clockwork()
        self.database = Database(self.clock)
        self.time = DatabaseTime(self.clock, lambda: self.clock.time + machine)

    async def measure(self) -> float:
        """How far the central's time is from the database's, after asking."""
        await self.time.measure(cast(Store, self.database))
        return self.time.now() - (self.clock.time + self.database.ahead)


@pytest.mark.parametrize("machine", [0.0, 600.0, -600.0, 10**9])
def test_whatever_the_machine_says_the_database_is_right(machine: float) -> None:
    """A central tells the database's time, however far off its own machine's clock is, and however slow the answer."""

    async def story() -> None:
        scene = Scene(machine)
        assert scene.time.now() == scene.clock.time + machine
        assert await scene.measure() == 0.0
        scene.database.takes = SLOWEST
        assert abs(await scene.measure()) < 0.01

    asyncio.run(story())


def test_an_answer_that_takes_long_tells_too_little() -> None:
    """A slow answer is better than none and worse than an earlier one."""

    async def story() -> None:
        scene = Scene()
        scene.database.takes = 20.0
        assert await scene.measure() == 0.0
        scene.database.takes = 0.0
        await scene.measure()
        scene.database.takes, scene.database.ahead = 30.0, 7000.0
        assert await scene.measure() == -2000.0

    asyncio.run(story())


def test_the_time_is_followed() -> None:
    """A database whose clock is set is followed, also after it was away."""

    async def story() -> None:
        scene = Scene()
        await scene.measure()
        following = asyncio.create_task(scene.time.follow(cast(Store, scene.database)))
        scene.database.away = True
        await scene.clock.advance(EVERY)
        scene.database.away, scene.database.ahead = False, 9000.0
        await scene.clock.advance(EVERY)
        assert scene.time.now() == scene.clock.time + 9000.0
        following.cancel()

    asyncio.run(story())
