"""How an attempt ends: what others decided about it, what the kernel says of its payload, what follows from both."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Optional

from pilot.attempts.watchdog import MACHINE, Exceeded, Limits, out_of_memory
from pilot.codes import AttemptCode
from pilot.payloads.payload import Ended
from pilot.protocol import AttemptReport, Usage
from pilot.states import Outcome, Phase


@dataclass(frozen=True)
class Verdict:
    """An attempt is to end before its payload does so by itself. No outcome: the lease is gone, nothing is reported."""

    outcome: Optional[Outcome]
    message: str = ""
    limit: Optional[str] = None
    grace: float = 0.0  # seconds between the request to stop and the kill
    files: float = 0.0  # seconds after that in which files may still be brought home
    code: str = ""  # where the other fields do not say it


#: Limits that do no harm while the payload has its grace.
_PATIENT = ("wall_time", "cpu_time", "no_progress")
GONE = Verdict(None, "the lease is gone")


#: What batch systems send to everything in a job before they kill it.
_TELLING = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU}
)  # fmt: skip


def perhaps_told(ended: Ended) -> bool:
    """Whether a payload may have ended because somebody else told it to; a shell says 128 and the signal."""
    return (ended.signal or (ended.exit_code or 0) - 128) in _TELLING


def beyond(problem: Exceeded, grace: float) -> Verdict:
    """A limit was exceeded. What eats memory or disk gets no time to eat more."""
    if problem.limit == MACHINE:
        return Verdict(Outcome.NODE_FAULT, problem.message, code=AttemptCode.MACHINE_MEMORY)
    patience = grace if problem.limit in _PATIENT else 0.0
    return Verdict(Outcome.LIMIT_EXCEEDED, problem.message, problem.limit, patience)


def judge(ended: Ended, verdict: Optional[Verdict], usage: Usage, limits: Limits) -> AttemptReport:
    """What to report about a payload that has ended; its outputs are another matter."""
    found = verdict or _judge(ended, usage, limits)
    return AttemptReport(
        Phase.ENDED,
        found.outcome,
        exit_code=ended.exit_code,
        signal=ended.signal,
        limit=found.limit,
        message=found.message,
        usage=usage,
        code=found.code,
    )


def _judge(ended: Ended, usage: Usage, limits: Limits) -> Verdict:
    if ended.outcome is not None:
        image = ended.outcome is Outcome.INPUT_ERROR  # what could not be used is the container's image
        return Verdict(ended.outcome, ended.message, code=AttemptCode.IMAGE if image else "")
    if ended.oom_kills or ended.starved:
        return beyond(out_of_memory(ended.oom_kills, limits), 0.0)
    if ended.exit_code == 0:
        return Verdict(Outcome.SUCCESS)
    full = limits.disk is not None and (usage.disk or 0) > limits.disk
    # A shell says 128 + the signal that ended its child.
    if full or ended.signal == signal.SIGXFSZ or ended.exit_code == 128 + signal.SIGXFSZ:
        return Verdict(Outcome.LIMIT_EXCEEDED, "it wrote more than its limit of disk allows, and failed", "disk")
    if ended.signal == signal.SIGXCPU or ended.exit_code == 128 + signal.SIGXCPU:
        message = "one of its processes used more than its limit of CPU time allows"
        return Verdict(Outcome.LIMIT_EXCEEDED, message, "cpu_time")
    if ended.signal is None:
        return Verdict(Outcome.PAYLOAD_ERROR, f"it ended with exit code {ended.exit_code}")
    return Verdict(Outcome.PAYLOAD_ERROR, f"it was ended by signal {ended.signal} ({signal_name(ended.signal)})")


def signal_name(number: int) -> str:
    """As people know it; with SIGKILL, the usual suspect."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "a real-time signal"
    if number == signal.SIGKILL:
        return f"{name}, not by the pilot: most likely the machine was out of memory"
    return name
