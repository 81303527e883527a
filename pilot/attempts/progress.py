"""Whether a payload gets on: pure, from what its looks find."""

from __future__ import annotations

from typing import Optional

#: The part of the time that must be CPU time to count as work: what hangs and now and then looks whether it still does
#: takes less, what waits for files from afar touches files.
LEAST_WORK = 0.001


class Progress:
    """Watches CPU time grow and files change. Times are of a clock that never steps."""

    def __init__(self, patience: Optional[float], started: float) -> None:
        self.patience = patience  # seconds without any progress; None: for ever
        self.since = started  # the last progress
        self._cpu = 0.0
        self._touched: Optional[float] = None

    def look(self, now: float, cpu: float, touched: Optional[float]) -> None:
        """`cpu`: seconds so far; `touched`: when a file was changed last, by the file system's clock."""
        worked = self.patience is not None and cpu - self._cpu >= self.patience * LEAST_WORK
        if worked or touched != self._touched:
            self.since, self._cpu, self._touched = now, cpu, touched

    def stuck(self, now: float) -> Optional[float]:
        """Seconds without progress, once they are too many."""
        idle = now - self.since
        return idle if self.patience is not None and idle >= self.patience else None
