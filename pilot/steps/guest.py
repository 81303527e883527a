"""A step's process as the agent sees it: started, given its task, heard, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from pilot.enclosures.ports import Enclosure
from pilot.errors import PilotageError, TransportError
from pilot.payloads.families import Families, Family
from pilot.payloads.slot_users import SlotUser
from pilot.states import PilotReason
from pilot.steps.output import StepLog
from pilot.steps.talk import Hearing, Task, send

#: Seconds between two looks at what else there is.
LOOK = 0.5
#: Seconds for a process to be gone that was killed, and for its last output.
PARTING = 5.0
_BLOCK = 256 * 1024


class TooLate(PilotageError):
    """The step was not done in its time."""


class Interrupted(PilotageError):
    """The pilot ends, and the step with it."""

    def __init__(self, reason: PilotReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Start:
    """How a process of a step is started."""

    words: Sequence[str]  # the pilot's own command line, without what follows here
    work: Path  # of the pilot
    place: Path  # where it runs, and the only place to write to
    environment: Mapping[str, str]
    marker: str  # a variable of it, as NAME=value, that no other process has
    user: Optional[SlotUser] = None
    inside: Optional[Enclosure] = None  # what holds it; whoever made that closes it
    stopping: Callable[[], Optional[tuple[PilotReason, str]]] = field(default=lambda: None)
    tick: Callable[[], None] = field(default=lambda: None)


def answer(families: Families, start: Start, task: Task, seconds: Optional[float], log: StepLog) -> bytes:
    """Have a task done in a process of its own. Returns the line that it answers, and leaves nothing running.

    Raises `TooLate`, `Interrupted`, and `PilotageError` when it ended without an answer.
    """
    ours, theirs = socket.socketpair()
    output, inlet = os.pipe()
    with ours:
        try:
            with theirs:
                family = _spawn(families, start, theirs.fileno(), inlet)
        except OSError as error:
            os.close(output)
            raise PilotageError(f"no process could be started for it: {error}") from error
        finally:
            os.close(inlet)
        pump = threading.Thread(target=_pump, args=(output, log), name="step output", daemon=True)
        pump.start()
        try:
            _admit(family, start.inside)
            return _hear(families, family, ours, start, task, seconds)
        finally:
            _end(families, family, start.inside)
            pump.join(PARTING)


def _spawn(families: Families, start: Start, fd: int, inlet: int) -> Family:
    name, _, value = start.marker.partition("=")

    def spawn() -> int:
        process = subprocess.Popen(
            [*start.words, "step", "--fd", str(fd), "--work", str(start.work)],
            stdin=subprocess.DEVNULL,
            stdout=inlet,
            stderr=inlet,
            cwd=start.place,
            env={**start.environment, name: value},
            pass_fds=[fd],
            start_new_session=True,
        )
        process.returncode = 0  # it is waited for elsewhere: Popen must not try
        return process.pid

    return families.start(spawn, os.fsencode(start.marker), None if start.user is None else start.user.uid)


def _admit(family: Family, inside: Optional[Enclosure]) -> None:
    """It waits for its task still, and has started nothing."""
    if inside is None:
        return
    try:
        inside.admit(family.leader)
    except OSError as error:
        raise PilotageError(f"its process could not be put into its control group: {error}") from error


def _hear(
    families: Families, family: Family, end: socket.socket, start: Start, task: Task, seconds: Optional[float]
) -> bytes:
    try:
        send(end, task)
    except TransportError:
        pass  # it has ended: how is seen below
    hearing = Hearing(end)
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        line = hearing.within(LOOK)
        if line is not None:
            return line
        over = _ended(family.leader)
        if over:
            line = hearing.within(LOOK)  # it may have answered in its last moment
            if line is not None:
                return line
            full = start.inside is not None and start.inside.count().oom_kills
            why = ": it took more memory than this agent has" if full else ""
            raise PilotageError(f"its process ended with {over}, before it returned{why}")
        start.tick()
        stopping = start.stopping()
        if stopping is not None:
            raise Interrupted(*stopping)
        if until is not None and time.monotonic() >= until:
            raise TooLate(f"not done after {seconds:g} s, and ended")
        if hearing.closed:
            time.sleep(0.01)  # it has let go of the link, and is about to end, or hangs


def _ended(pid: int) -> str:
    """How a process has ended, as a phrase; empty while it runs. It is not reaped."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None or found.si_pid == 0:
        return ""
    if found.si_code == os.CLD_EXITED:
        return f"exit code {found.si_status}"
    try:
        return f"signal {signal.Signals(found.si_status).name}"
    except ValueError:
        return f"signal {found.si_status}"


def _end(families: Families, family: Family, inside: Optional[Enclosure]) -> None:
    if inside is not None:
        inside.kill()
    families.signal(family, signal.SIGKILL)
    until = time.monotonic() + PARTING
    while not _ended(family.leader) and time.monotonic() < until:
        time.sleep(0.005)  # one that waits for a file system that is away cannot even be killed
    if _ended(family.leader):
        families.wait(family)
    families.clear(family, PARTING)
    families.reap()
    families.forget(family)


def _pump(output: int, log: StepLog) -> None:
    """Take what comes until nobody holds the other end any more."""
    with os.fdopen(output, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            log.write(block)
