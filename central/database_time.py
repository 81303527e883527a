"""The database's time, as far as a central can tell it without asking: what it seals and compares, all agree on.

Machines' clocks may be minutes apart; what is stored and what goes to pilots is by one clock, that of the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from central.clock import Clock
from central.store.port import Store
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Seconds between two comparisons, short because a clock that never steps may stand still while a machine sleeps.
EVERY = 15.0
#: An answer that took longer than this many seconds tells too little, once there has been one.
SLOWEST = 1.0
#: Seconds that the machine's clock may be off without a word about it.
TOLERATED = 5.0


class DatabaseTime:
    """Seconds since the epoch by the database's clock. Until it was asked, by `machine`, this machine's own."""

    def __init__(self, clock: Clock, machine: Callable[[], float]) -> None:
        self._clock = clock
        self._machine = machine
        self._offset: float | None = None  # from the clock to the database's time
        self._told = False

    def now(self) -> float:
        return self._machine() if self._offset is None else self._clock.now() + self._offset

    async def measure(self, store: Store) -> None:
        """Ask the database what time it is. Raises what the store raises."""
        before = self._clock.now()
        time = await store.now()
        after = self._clock.now()
        if self._offset is None or after - before <= SLOWEST:
            self._offset = time - (before + after) / 2
        off = self._machine() - self.now()
        if abs(off) > TOLERATED and not self._told:
            log.warning("This machine's clock is %+.0f s away from the database's, whose time counts", off)
        self._told = abs(off) > TOLERATED

    async def follow(self, store: Store) -> None:
        """Ask again and again, for as long as the central lives."""
        while True:
            await self._clock.sleep(EVERY)
            try:
                await self.measure(store)
            except (PilotageError, OSError) as error:
                log.warning("The database did not tell the time: %s", error)
