"""Whether a node still runs jobs at all, judged by how the attempts on it end. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from pilot.states import Outcome

#: Attempts in a row that end by a fault of the node before it takes no more.
MOST_FAULTS = 5
#: Ends that say that a payload could run here.
_RAN = frozenset({Outcome.SUCCESS, Outcome.PAYLOAD_ERROR, Outcome.LIMIT_EXCEEDED, Outcome.OUTPUT_ERROR})


@dataclass(frozen=True)
class Health:
    """The faults since a payload last ran to an end of its own."""

    faults: int = 0
    last: str = ""  # what the last of them was

    def after(self, outcome: Optional[Outcome], message: str) -> Health:
        """One more attempt has ended. Ends that others brought about say nothing."""
        if outcome is Outcome.NODE_FAULT:
            return Health(self.faults + 1, message)
        return Health() if outcome in _RAN else self

    @property
    def problem(self) -> str:
        """Why no job is to be started here any more, empty while they may be."""
        if self.faults < MOST_FAULTS:
            return ""
        return f"{self.faults} attempts in a row ended by a fault of the node; the last: {self.last}"
