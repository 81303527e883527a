"""A clock that moves when a test says so, for everything that takes `central.clock.Clock`."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

#: Turns of the loop in which everything that can go on has gone on: more than any chain of awaits under test is long.
TURNS = 50


async def settled() -> None:
    """Let everything run that does not wait for the clock or for the test."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@dataclass(order=True)
class _Call:
    due: float
    number: int
    call: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Clockwork:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.calls: list[_Call] = []
        self.numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, call: Callable[[], None]) -> _Call:
        due = _Call(self.time + max(0.0, seconds), next(self.numbers), call)
        heapq.heappush(self.calls, due)
        return due

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        timer = self.later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        """Move on, making every call that falls due on the way at its time."""
        await settled()
        end = self.time + seconds
        while self.calls and self.calls[0].due <= end:
            due = heapq.heappop(self.calls)
            self.time = max(self.time, due.due)
            if not due.cancelled:
                due.call()
                await settled()
        self.time = end
