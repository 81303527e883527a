"""The process element: runs a payload as plain processes of this user, in a session of their own.

A payload is started through `/bin/sh`, which makes the kernel take it first when memory runs out, forbids core dumps,
bounds the size of a file, and then becomes the payload. Arguments travel as arguments: nothing of a job is ever part of
a shell's text. What it prints goes straight into files.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO, Callable, cast

from pilot.families import Families, Family
from pilot.payload import CannotStart, Ended, Launch, Sample
from pilot.program import check_program
from pilot.sharing import Proportional

SHELL = "/bin/sh"
#: In the shell's words: $1 is the bound of a file in blocks of 512 bytes. What a machine does not allow is left out.
PRELUDE = '{ echo 1000 >/proc/self/oom_score_adj; ulimit -c 0; ulimit -f "$1"; } 2>/dev/null; shift; exec "$@"'
_BLOCK = 512


class ProcessElement:
    """Starts payloads. `sharing` is asked for the memory of processes that share some; it is made on first use."""

    def __init__(self, families: Families, sharing: Callable[[], Proportional]) -> None:
        self.families = families
        self.sharing = sharing

    def start(self, launch: Launch) -> ProcessPayload:
        check_program(launch.command[0] if launch.command else "", launch.directory, launch.environment.get("PATH", ""))
        bound = "unlimited" if launch.file_bound is None else str(launch.file_bound // _BLOCK + 1)
        words = [SHELL, "-c", PRELUDE, "payload", bound, *launch.command]
        # Only this thread's: a child inherits them, which leaves no moment in which it has others.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if launch.cpus:
            os.sched_setaffinity(0, launch.cpus)
        with _created(launch.stdout) as output, _created(launch.stderr) as errors:
            try:
                marker = os.fsencode(launch.marker)
                family = self.families.start(lambda: _spawn(words, launch, output, errors), marker)
            except OSError as error:
                if error.errno != errno.E2BIG:
                    raise  # no process, no memory: the node's fault
                raise CannotStart("its arguments and environment are too long for this system", 126) from error
        return ProcessPayload(self.families, family, self.sharing)

    def tend(self) -> None:
        """Reap what payloads have left behind; called now and then."""
        self.families.reap()


class ProcessPayload:
    """One payload and everything that it started; `pilot.payload.Payload` says what each verb means."""

    def __init__(self, families: Families, family: Family, sharing: Callable[[], Proportional]) -> None:
        self.families = families
        self.family = family
        self.sharing = sharing

    @property
    def pid(self) -> int:
        return self.family.leader

    def wait(self) -> Ended:
        status, cpu, largest = self.families.wait(self.family)
        by_signal = os.WIFSIGNALED(status)
        # Until it became the payload the process was a copy of this one, and the kernel keeps that maximum.
        trusted = largest > _own_peak()
        return Ended(
            exit_code=None if by_signal else os.WEXITSTATUS(status),
            signal=os.WTERMSIG(status) if by_signal else None,
            cpu=cpu + self.family.reaped,
            largest=largest if trusted else None,
        )

    def sample(self) -> Sample:
        members = self.families.members(self.family)
        cpu = sum(member.cpu for member in members) + self.family.reaped
        if len(members) == 1:
            return Sample(1, cpu, members[0].resident)
        proportional = self.sharing() if members else None
        memory = 0
        for member in members:
            share = proportional(member.pid) if proportional else None
            memory += member.resident if share is None else share
        return Sample(len(members), cpu, memory)

    def terminate(self) -> None:
        self.families.signal(self.family, signal.SIGTERM)
        self.families.signal(self.family, signal.SIGCONT)  # who is stopped hears nothing

    def kill(self) -> None:
        self.families.signal(self.family, signal.SIGKILL)

    def clear(self, seconds: float) -> int:
        left = self.families.clear(self.family, seconds)
        self.families.reap()
        self.families.forget(self.family)
        return left

    def living(self) -> int:
        return len(self.families.members(self.family))


def _spawn(words: list[str], launch: Launch, output: BinaryIO, errors: BinaryIO) -> int:
    process = subprocess.Popen(
        words,
        cwd=launch.directory,
        env=launch.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    process.returncode = 0  # it is waited for elsewhere: Popen must not try
    return process.pid


def _created(path: Path) -> BinaryIO:
    """A new file of this user alone, which several processes may append to at once."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    return cast("BinaryIO", open(handle, "wb", buffering=0))


def _own_peak() -> int:
    """Bytes: the largest resident set that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
