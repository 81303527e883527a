"""The agent: the process that runs the commands and the payloads, below the monitor and by way of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Callable, Optional

from commands.context import Sandboxes
from pilot import processes, procfs
from pilot.attempts.timesheet import Timesheet
from pilot.config import Config
from pilot.endings import Ending
from pilot.errors import ExitCode, PilotageError
from pilot.link import LinkedCentral, connect
from pilot.protocol import Lease
from pilot.states import PilotReason
from pilot.workplace import furnish, run_pipeline

#: The monitor hears these and decides; an agent that obeyed them would leave payloads without an end.
_MONITORS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(fd: int) -> ExitCode:
    """Be the agent at the other end of an inherited socket. Raises `TransportError` when nobody is there."""
    # The monitor may have needed a while to enrol, and the time of the allocation runs from its start.
    started = time.monotonic() - (procfs.age(os.getppid()) or 0.0)
    processes.become_subreaper()
    processes.forbid_dumps()
    for number in _MONITORS:
        signal.signal(number, _leave_to_the_monitor)
    link, hello, arrived = connect(fd)
    say = speaker(hello.agent, hello.config.agents)
    sandboxes = OnDemand(hello.config)
    central = LinkedCentral(link, say)
    context, pool, guests = furnish(
        hello.config, hello.settings, central, sandboxes, started, say, hello.agent, Timesheet(central.happened)
    )
    central.orders(pool)
    central.start(arrived)
    try:
        ended = run_pipeline(context, guests, started, hello.life)
        ending = Ending(ended.reason or PilotReason.INTERNAL, ended.message)
        central.finished(ending.reason, ending.message)
    except PilotageError as error:
        if not central.monitor_died.is_set():
            raise
        say(f"everything stops: {error}")
        return ExitCode.MONITOR_DIED
    finally:
        pool.close()
    return ending.exit_code


def speaker(agent: int, agents: int) -> Callable[[str], None]:
    """Says lines of the pilot's log, which is what our output goes to."""
    name = "agent" if agents == 1 else f"agent {agent}"

    def say(line: str) -> None:
        text = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {name}: {line}\n"
        try:
            os.write(1, text.encode("utf-8", "replace"))
        except OSError:
            pass  # a full disk stops nobody

    return say


class OnDemand:
    """The sandboxes of the central. What they are made of is heavy, and many a pilot moves no file at all."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._made: Optional[Sandboxes] = None

    def fetch(self, lease: Lease, sha256: str, size: int, target: Path) -> None:
        self._real().fetch(lease, sha256, size, target)

    def store(self, lease: Lease, source: Path, sha256: str, size: int) -> None:
        self._real().store(lease, source, sha256, size)

    def _real(self) -> Sandboxes:
        with self._lock:
            if self._made is None:
                from pilot.attempts.staging import HttpSandboxes
                from pilot.transport import Https

                self._made = HttpSandboxes(self.config.central, Https(self.config.ca))
            return self._made


def _leave_to_the_monitor(number: int, frame: Optional[FrameType]) -> None:
    """A handler, and not SIG_IGN: what is ignored stays so in payloads, what is handled does not."""
