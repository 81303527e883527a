"""When a pilot gives up on its central, and how it ends: its reason as an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pilot.errors import ExitCode
from pilot.states import PREEMPTING, Outcome, PilotReason

_CODES: Mapping[PilotReason, ExitCode] = {
    PilotReason.DRAINED: ExitCode.DONE,
    PilotReason.IDLE: ExitCode.DONE,
    PilotReason.NO_TIME: ExitCode.DONE,
    PilotReason.HALTED: ExitCode.DONE,
    PilotReason.SIGNAL: ExitCode.PREEMPTED,
    PilotReason.UNFIT: ExitCode.UNFIT,
    PilotReason.NODE_FAULTS: ExitCode.UNFIT,
    PilotReason.COMMAND_FAILED: ExitCode.COMMAND_FAILED,
    PilotReason.AGENT_DIED: ExitCode.AGENT_DIED,
    PilotReason.LOST_CONTACT: ExitCode.NO_CONTACT,
    PilotReason.REFUSED: ExitCode.REFUSED,
}

#: Seconds for which results wait for a central that does not answer. They stay in the spool after that.
FORSAKEN = 86400.0


def forsaken(silent: float, lease: float, running: bool, results: bool) -> bool:
    """Whether a pilot ends because no central has answered for `silent` seconds.

    Running payloads go on, since their own limits end them; results are worth a day's wait; with neither, nobody counts
    on the pilot once its leases are over.
    """
    return not running and silent > (FORSAKEN if results else lease)


@dataclass(frozen=True)
class Ending:
    """Why a pilot ends."""

    reason: PilotReason
    message: str = ""

    @property
    def exit_code(self) -> ExitCode:
        return _CODES.get(self.reason, ExitCode.INTERNAL)

    @property
    def outcome(self) -> Outcome:
        """How an attempt ended that the agent left without an end."""
        return Outcome.PREEMPTED if self.reason in PREEMPTING else Outcome.NODE_FAULT
