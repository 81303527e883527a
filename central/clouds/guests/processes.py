"""Processes that outlive whoever started them, known by number and start: found again, and ended, by those alone."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Of the fields behind the name in /proc/PID/stat: the state, and when it was started in ticks since the boot.
_STATE, _STARTED = 0, 19


@dataclass(frozen=True)
class Process:
    """One process, whose number another may get after its end."""

    boot: str  # of this host
    pid: int
    started: int  # ticks since that boot

    def alive(self) -> bool:
        """Whether it runs. One that has ended and was started here is waited for."""
        if self.boot != _BOOT_ID.read_text().strip():
            return False
        stat = _stat(self.pid)
        if stat is None or int(stat[_STARTED]) != self.started:
            return False
        if stat[_STATE] not in "ZX":
            return True
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pass  # somebody else's
        return False

    def end(self, patience: float) -> bool:
        """Kill it. Returns whether it is over within so many seconds."""
        if not self.alive():
            return True
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive():  # asked while the descriptor holds on to whoever has the number
                return True
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], patience)
        except ProcessLookupError:
            return True
        finally:
            os.close(descriptor)
        return not self.alive()


def start(argv: list[str], console: Path, environment: Mapping[str, str]) -> int:
    """Start a program in a session of its own, with what it prints appended to a file. Returns its number; raises
    `OSError`."""
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, console, append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(argv[0], argv, environment, file_actions=actions, setsid=True)


def written(path: Path) -> Process | None:
    """The process that `machine.sh` has written down; None where it has not yet. Raises `OSError`.

    A file with something else in it is what a crash of the host leaves: then it is none that runs.
    """
    try:
        boot, _, stat = path.read_text(errors="replace").strip().partition(" ")
    except FileNotFoundError:
        return None
    try:
        return Process(boot, int(stat.partition(" ")[0]), int(_behind_name(stat)[_STARTED]))
    except (ValueError, IndexError):
        return Process("", 0, 0)


def _stat(pid: int) -> list[str] | None:
    try:
        return _behind_name(Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return None


def _behind_name(stat: str) -> list[str]:
    """A name may hold spaces and brackets."""
    return stat.rpartition(")")[2].split()
