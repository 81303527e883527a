"""How long to wait before trying again: longer each time, and never all at once."""

from __future__ import annotations

from typing import Callable, Optional


class Backoff:
    """Doubles from `first` to `most` seconds; waits are drawn from the upper half, so that many pilots spread out."""

    def __init__(self, rng: Callable[[], float], first: float = 0.5, most: float = 30.0) -> None:
        self.rng = rng  # a number from 0 to 1
        self.first = first
        self.most = most
        self.failures = 0

    def failed(self, retry_after: Optional[float] = None) -> float:
        """Count a failure and return the seconds to wait, never less than the other side asked for."""
        bound = min(self.most, self.first * float(2 ** min(self.failures, 30)))
        self.failures += 1
        spread = bound * (0.5 + 0.5 * self.rng())
        # Asked to come back after a while, all would come back at the same moment.
        return max(spread, retry_after + self.rng() * self.first) if retry_after else spread

    def succeeded(self) -> None:
        self.failures = 0
