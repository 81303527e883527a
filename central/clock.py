"""Time, so that tests can turn it: a clock that never steps, sleeping, and calls for later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later, until it is cancelled."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds of a clock that never steps; its zero means nothing."""

    async def sleep(self, seconds: float) -> None: ...

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Make the call in so many seconds, in the running loop."""


class SystemClock:
    """The machine's monotonic clock and the running asyncio loop."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, call)
