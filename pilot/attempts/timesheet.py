"""What the cores of an agent do, told as it happens to whoever keeps the books of the pilot."""

from __future__ import annotations

import time
from typing import Callable

from pilot.ledger import Event, Happened, Key
from pilot.protocol import Lease
from pilot.states import Cause


def _nobody(what: Happened) -> None:
    """One job without a central has no books."""


class Timesheet:
    """`tell` must not raise and not block for long. The monitor's clock is the same: that of the machine."""

    def __init__(self, tell: Callable[[Happened], None] = _nobody, clock: Callable[[], float] = time.monotonic) -> None:
        self.tell = tell
        self.clock = clock

    def open(self, cores: int) -> None:
        self.tell(Happened(self._now(), Event.OPEN, cores=cores))

    def close(self) -> None:
        self.tell(Happened(self._now(), Event.CLOSE))

    def begin(self, lease: Lease, cores: int) -> None:
        self.tell(Happened(self._now(), Event.BEGIN, lease.job, lease.attempt, cores=cores, community=lease.community))

    def turn(self, key: Key, cause: Cause) -> None:
        self.tell(Happened(self._now(), Event.TURN, *key, cause=cause))

    def free(self, key: Key) -> None:
        self.tell(Happened(self._now(), Event.FREE, *key))

    def end(self, key: Key) -> None:
        self.tell(Happened(self._now(), Event.END, *key))

    def _now(self) -> int:
        return int(self.clock() * 1_000_000)
