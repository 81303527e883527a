"""Whether a node still runs jobs at all, judged by how the attempts on it end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

from commands.context import Faults
from pilot.states import Outcome

#: Different jobs in a row that end by a fault of the node before it takes no more.
MOST_FAULTS = 5
#: Ends that say that a payload could run here.
_RAN = frozenset({Outcome.SUCCESS, Outcome.PAYLOAD_ERROR, Outcome.LIMIT_EXCEEDED, Outcome.OUTPUT_ERROR})


@dataclass(frozen=True)
class Health:
    """What attempts have said of the node.

    `jobs` are those that met a fault of it since a payload last ran to an end of its own. A job that comes back again
    and again is one of them once: the fault may be in what it asks for.
    """

    jobs: frozenset[int] = frozenset()
    last: str = ""  # what the last fault was
    faults: Faults = field(default_factory=Faults)

    def after(self, job: int, outcome: Optional[Outcome], message: str) -> Health:
        """One more attempt has ended. Ends that others brought about say nothing of the node."""
        if outcome is Outcome.NODE_FAULT:
            return Health(self.jobs | {job}, message, Faults(self.faults.row + 1, self.faults.total + 1))
        calm = replace(self.faults, row=0)
        return Health(faults=calm) if outcome in _RAN else replace(self, faults=calm)

    @property
    def problem(self) -> str:
        """Why no job is to be started here any more, empty while they may be."""
        if len(self.jobs) < MOST_FAULTS:
            return ""
        return f"{len(self.jobs)} jobs in a row ended by a fault of the node; the last: {self.last}"
