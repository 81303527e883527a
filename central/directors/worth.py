"""What an hour of a queue's machines costs, and how much of their time was good for something: asked now and then.

What cannot be had counts as it did before, and in the beginning as free, and as efficient as others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from central.directors.backoff import OPEN, Gate, Past, Way, way
from central.directors.board import PROMISE
from central.directors.choosing import Door, efficiency, losses, trust
from central.directors.control import Limits, Supply
from central.directors.pricing import FRESH
from central.store.port import Store
from pilot.errors import PilotageError
from pilot.states import Cause

log = logging.getLogger(__name__)

#: Seconds of the past that efficiency is judged by.
SPAN = 7 * 86400.0
_MICRO = 1e6  # core-microseconds in a core-second
_STRICT = (Gate.OPEN, Gate.HALF, Gate.SHUT)


@dataclass(frozen=True)
class Use:
    """Core-seconds of a queue's pilots: those that were good for something, and all."""

    good: float = 0.0
    whole: float = 0.0


class Uses:
    """Of all queues of a store, asked for together: the sum takes seconds where there are many pilots."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._asked: float | None = None
        self._found: Mapping[str, Use] = {}

    async def of(self, queue: str, now: float) -> Use:
        """What the queue's pilots of the last days have told."""
        if self._asked is None or now - self._asked >= FRESH:
            self._asked = now
            rows = await self.store.waste(None, by=("queue",), since=now - SPAN, until=None)
            self._found = {row.keys[0]: _use(row.booked) for row in rows}
        return self._found.get(queue, Use())


def _use(booked: Mapping[str, int]) -> Use:
    return Use(booked.get(Cause.GOOD.value, 0) / _MICRO, sum(booked.values()) / _MICRO)


class Worth:
    """Of one queue. `price`: of an hour of one machine, None where it is not known; `use`: what its pilots have told;
    `spot`: its machines may be taken back."""

    def __init__(
        self,
        price: Callable[[float], Awaitable[float | None]],
        use: Callable[[float], Awaitable[Use]],
        spot: bool = False,
    ) -> None:
        self.price = price
        self.use = use
        self.spot = spot
        self.hour = 0.0
        self.efficiency = efficiency(0.0, 0.0)
        self._asked: float | None = None

    async def look(self, now: float) -> None:
        """Ask again, where that was long ago."""
        if self._asked is not None and now - self._asked < FRESH:
            return
        self._asked = now
        try:
            hour, use = await self.price(now), await self.use(now)
        except PilotageError as error:
            log.warning("What machines cost, or were good for, cannot be had: %s", error)
        else:
            self.hour = self.hour if hour is None else hour
            self.efficiency = efficiency(use.good, use.whole)

    def trusted(self, past: Past, now: float) -> Way:
        """Whether machines that may be taken back are worth their boot."""
        return trust(losses(past), now, past.good) if self.spot else OPEN

    def door(self, queue: str, supply: Supply, limits: Limits, past: Past, oldest: float | None, now: float) -> Door:
        """The queue beside others; `oldest`: when the first of its pilots was sent that is still on its way."""
        gate = max(way(past, now).gate, self.trusted(past, now).gate, key=_STRICT.index)
        slow = oldest is not None and now - oldest > PROMISE
        return Door(queue, limits.cores, self.hour, limits.slots - supply.live, gate, slow, self.efficiency)
