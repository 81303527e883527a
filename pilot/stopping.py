"""Reads `stop_signal` of a job file: a signal before the end of its wall time, for jobs that can finish early."""

from __future__ import annotations

import signal
from typing import Optional

from pilot.fields import Fields
from pilot.protocol import StopSignal

#: Those that mean something to a program and do not end it outright.
ALLOWED = ("SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP", "SIGCONT")


def stop_signal(fields: Fields, wall_time: int) -> Optional[StopSignal]:
    """``{before: 10 min, signal: SIGUSR1, program: "fit*"}``; ``""`` or nothing: none."""
    if not fields.left.get("stop_signal"):
        fields.take("stop_signal", None)
        return None
    inside = fields.section("stop_signal")
    before = inside.duration("before", 600, least=1)
    if before >= wall_time:
        inside.problem("before", f"expected less than the wall time of {wall_time} s: it would come at once")
    number = inside.text("signal", "SIGUSR1") or "SIGUSR1"
    name = number if number.startswith("SIG") else f"SIG{number}"
    if name not in ALLOWED or not hasattr(signal, name):
        inside.problem("signal", f"expected one of {', '.join(ALLOWED)}, got {number!r}")
    program = inside.text("program", "", most=200) or ""
    inside.finish()
    return StopSignal(before, name, program)
