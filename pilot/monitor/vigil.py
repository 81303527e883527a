"""Decides when an agent counts as hung. Pure: times come in, a reason comes out."""

from __future__ import annotations

from typing import Optional

#: Seconds without a turn of the agent's main loop after which it is hung.
HUNG = 60.0
#: When we ourselves did not run for so many seconds, the agent's silence proves nothing.
SUSPENDED = 5.0
#: Seconds from the end of its link to the end of its process.
EXIT_PATIENCE = 5.0


class Vigil:
    """What is known of one agent's life. Times are seconds of a clock that never steps."""

    def __init__(self, now: float) -> None:
        self.heard = now  # when its main loop last turned
        self.looked = now  # our own last look
        self.silent_since: Optional[float] = None  # when its link ended
        self.stop_by = float("inf")  # when it must have ended

    def look(self, now: float) -> str:
        """Why the agent must be killed, empty while it need not be. To be called often, also when nothing happens."""
        if now - self.looked > SUSPENDED:
            self.heard += now - self.looked
        self.looked = now
        if now >= self.stop_by:
            return "it did not end in time"
        if self.silent_since is not None and now - self.silent_since > EXIT_PATIENCE:
            return "it stopped speaking and did not exit"
        if now - self.heard > HUNG:
            return f"it hung: its main loop has not turned for {now - self.heard:.0f} s"
        return ""
