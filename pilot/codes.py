"""Codes of errors: one for every way in which attempts and pilots end, worked out from what reports say.

A code is a class and a word; `pilot/catalogue.py` says what each means. Where a pilot knows more than its report's
other fields can say, the report carries the code.
"""

from __future__ import annotations

import signal as signals
from enum import Enum
from typing import Optional

from pilot.states import SITE_DRAINS, Outcome, PilotReason


class AttemptCode(str, Enum):
    """How attempts end that did not succeed."""

    EXIT = "payload.exit-code"
    SIGNAL = "payload.signal"
    KILLED_OUTSIDE = "payload.killed-outside"
    CANNOT_START = "payload.cannot-start"
    WALL_TIME = "limit.wall-time"
    MEMORY = "limit.memory"
    DISK = "limit.disk"
    CPU_TIME = "limit.cpu-time"
    PROCESSES = "limit.processes"
    NO_PROGRESS = "limit.no-progress"
    LIMIT = "limit.other"
    INPUT_MISSING = "files.input-missing"
    INPUT_CHANGED = "files.input-changed"
    INPUT_UNREACHABLE = "files.input-unreachable"
    INPUT = "files.input"
    IMAGE = "files.image"
    NO_CONTAINER = "files.no-container"
    CREDENTIAL = "files.credential"
    OUTPUT = "files.output"
    KILLED = "person.killed"
    PREEMPTED = "machine.preempted"
    MACHINE_MEMORY = "machine.memory"
    FAULT = "machine.fault"
    PILOT_ENDED = "machine.pilot-ended"
    LEASE = "contact.lease"


class PilotCode(str, Enum):
    """How pilots end."""

    DRAINED = "end.drained"
    IDLE = "end.idle"
    NO_TIME = "end.no-time"
    HALTED = "end.halted"
    CANCELLED = "end.cancelled"
    TAKEN = "machine.taken"
    SITE_DRAINS = "machine.site-drains"
    UNFIT = "machine.unfit"
    NODE_FAULTS = "machine.node-faults"
    NO_CENTRAL = "contact.no-central"
    NEVER_CALLED = "contact.never-called"
    GONE = "contact.gone"
    COMMAND = "setup.command"
    REFUSED = "setup.refused"
    SUBMISSION = "setup.submission"
    AGENT_DIED = "pilot.agent-died"
    INTERNAL = "pilot.internal"


_OF_OUTCOME = {
    Outcome.KILLED: AttemptCode.KILLED,
    Outcome.LOST: AttemptCode.LEASE,
    Outcome.PREEMPTED: AttemptCode.PREEMPTED,
    Outcome.NODE_FAULT: AttemptCode.FAULT,
    Outcome.INPUT_ERROR: AttemptCode.INPUT,
    Outcome.OUTPUT_ERROR: AttemptCode.OUTPUT,
}
_OF_LIMIT = {
    "wall_time": AttemptCode.WALL_TIME,
    "memory": AttemptCode.MEMORY,
    "disk": AttemptCode.DISK,
    "cpu_time": AttemptCode.CPU_TIME,
    "processes": AttemptCode.PROCESSES,
    "no_progress": AttemptCode.NO_PROGRESS,
}
_OF_REASON = {
    PilotReason.DRAINED: PilotCode.DRAINED,
    PilotReason.IDLE: PilotCode.IDLE,
    PilotReason.NO_TIME: PilotCode.NO_TIME,
    PilotReason.HALTED: PilotCode.HALTED,
    PilotReason.SIGNAL: PilotCode.TAKEN,
    PilotReason.UNFIT: PilotCode.UNFIT,
    PilotReason.COMMAND_FAILED: PilotCode.COMMAND,
    PilotReason.NODE_FAULTS: PilotCode.NODE_FAULTS,
    PilotReason.AGENT_DIED: PilotCode.AGENT_DIED,
    PilotReason.LOST_CONTACT: PilotCode.NO_CENTRAL,
    PilotReason.REFUSED: PilotCode.REFUSED,
    PilotReason.INTERNAL: PilotCode.INTERNAL,
    PilotReason.NEVER_CALLED: PilotCode.NEVER_CALLED,
    PilotReason.SUBMIT_FAILED: PilotCode.SUBMISSION,
    PilotReason.CANCELLED: PilotCode.CANCELLED,
    PilotReason.GONE: PilotCode.GONE,
}
#: What the codes of an outcome begin with.
_AMONG = {
    Outcome.PAYLOAD_ERROR: ("payload.",),
    Outcome.LIMIT_EXCEEDED: ("limit.",),
    Outcome.KILLED: ("person.",),
    Outcome.LOST: ("contact.",),
    Outcome.PREEMPTED: ("machine.preempted",),
    Outcome.NODE_FAULT: ("machine.memory", "machine.fault", "machine.pilot-ended", "files.no-container"),
    Outcome.INPUT_ERROR: ("files.input", "files.image", "files.credential"),
    Outcome.OUTPUT_ERROR: ("files.output", "files.credential"),
}
#: What a shell says of a command that is no program, or is not there.
_NOT_STARTED = (126, 127)


def of_attempt(
    outcome: Optional[Outcome],
    *,
    limit: Optional[str] = None,
    exit_code: Optional[int] = None,
    signal: Optional[int] = None,
    said: str = "",
) -> Optional[AttemptCode]:
    """The code of an attempt that ended so; None for one that succeeded or has not ended. `said`: by its report."""
    if outcome in (None, Outcome.SUCCESS):
        return None
    try:
        return AttemptCode(said)
    except ValueError:
        pass  # it says none, or one that is not known here
    if outcome is Outcome.LIMIT_EXCEEDED:
        return _OF_LIMIT.get(limit or "", AttemptCode.LIMIT)
    if outcome is not Outcome.PAYLOAD_ERROR:
        return _OF_OUTCOME[outcome] if outcome is not None else None
    if signal == signals.SIGKILL or exit_code == 128 + signals.SIGKILL:
        return AttemptCode.KILLED_OUTSIDE
    if signal is not None:
        return AttemptCode.SIGNAL
    return AttemptCode.CANNOT_START if exit_code in _NOT_STARTED else AttemptCode.EXIT


def of_outcome(outcome: Outcome) -> tuple[AttemptCode, ...]:
    """The codes that attempts with that outcome may have."""
    among = _AMONG.get(outcome)
    return tuple(code for code in AttemptCode if among and code.value.startswith(among))


def of_pilot(reason: Optional[PilotReason], message: str = "") -> Optional[PilotCode]:
    """The code of a pilot that ended for that reason; None for one that has not."""
    if reason is None:
        return None
    if reason is PilotReason.DRAINED and message.startswith(SITE_DRAINS):
        return PilotCode.SITE_DRAINS
    return _OF_REASON[reason]
