"""The process element: runs a payload as plain processes, in a session of their own.

A payload is started through `/bin/sh`, which waits until it is enclosed, makes the kernel take it first when memory
runs out, forbids core dumps, sets the bounds that a process can set for itself, and then becomes the payload. Arguments
travel as arguments: nothing of a job is ever part of a shell's text. What it prints goes straight into files.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Callable, Optional, cast

from pilot import procfs
from pilot.enclosures.ports import Counted, Enclosure
from pilot.payloads import rights, userkill
from pilot.payloads.families import Families, Family
from pilot.payloads.payload import CannotStart, Ended, Launch, Sample
from pilot.payloads.program import check_program
from pilot.payloads.sharing import Proportional
from pilot.procfs import Process

SHELL = "/bin/sh"
#: In the shell's words: $1 bounds a file, in blocks of 512 bytes; $2 the CPU time of one process, in seconds; $3 the
#: processes of its user (-u for some shells, -p for others). What a machine does not allow is left out.
PRELUDE = (
    "read -r go || exit 126; exec </dev/null;"
    ' { echo 1000 >/proc/self/oom_score_adj; ulimit -c 0; ulimit -f "$1"; ulimit -t "$2";'
    ' [ "$3" = unlimited ] || ulimit -u "$3" || ulimit -p "$3"; } 2>/dev/null; shift 3; exec "$@"'
)
_BLOCK = 512
#: Seconds for a process to vanish that was killed before it had begun.
_KILL_PATIENCE = 5.0


class ProcessElement:
    """Starts payloads. `sharing` is asked for the memory of processes that share some; it is made on first use."""

    def __init__(self, families: Families, sharing: Callable[[], Proportional]) -> None:
        self.families = families
        self.sharing = sharing

    def start(self, launch: Launch) -> ProcessPayload:
        with rights.acting_as(launch.user):
            program = launch.command[0] if launch.command else ""
            check_program(program, launch.directory, launch.environment.get("PATH", ""))
        # Only this thread's: a child inherits them, which leaves no moment in which it has others.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if launch.cpus:
            os.sched_setaffinity(0, launch.cpus)
        if launch.user is not None and not launch.gains_rights:
            rights.gain_nothing()
        words = [SHELL, "-c", PRELUDE, "payload", *_bounds(launch), *launch.command]
        with _created(launch.stdout, launch) as output, _created(launch.stderr, launch) as errors:
            started = _Starting(words, launch, output, errors)
            user = None if launch.user is None else launch.user.uid
            try:
                family = self.families.start(started.spawn, os.fsencode(launch.marker), user)
            except OSError as error:
                if error.errno != errno.E2BIG:
                    raise  # no process, no memory: the node's fault
                raise CannotStart("its arguments and environment are too long for this system", 126) from error
        family.spared = launch.spared
        payload = ProcessPayload(self.families, family, self.sharing, launch.enclosure)
        try:
            started.let_go(launch.enclosure)
        except OSError:
            payload.kill()
            payload.wait()
            payload.clear(_KILL_PATIENCE)
            raise
        return payload

    def tend(self) -> None:
        """Reap what payloads have left behind; called now and then."""
        self.families.reap()


class ProcessPayload:
    """One payload and everything that it started; `pilot.payloads.payload.Payload` says what each verb means."""

    def __init__(
        self,
        families: Families,
        family: Family,
        sharing: Callable[[], Proportional],
        enclosure: Optional[Enclosure] = None,
    ) -> None:
        self.families = families
        self.family = family
        self.sharing = sharing
        self.enclosure = enclosure
        if enclosure is not None:
            family.enclosed = enclosure.members

    @property
    def pid(self) -> int:
        return self.family.leader

    def wait(self) -> Ended:
        status, cpu, largest = self.families.wait(self.family)
        by_signal = os.WIFSIGNALED(status)
        # Until it became the payload the process was a copy of this one, and the kernel keeps that maximum.
        trusted = largest > _own_peak()
        counted = self._counted()
        return Ended(
            exit_code=None if by_signal else os.WEXITSTATUS(status),
            signal=os.WTERMSIG(status) if by_signal else None,
            cpu=max(cpu + self.family.reaped, counted.cpu or 0.0),
            largest=largest if trusted else None,
            oom_kills=counted.oom_kills,
            starved=counted.starved,
        )

    def sample(self) -> Sample:
        counted = self._counted()
        found = Sample(0, 0.0, 0, counted.oom_kills, counted.starved)
        if self.family.user is not None and counted.cpu is not None and counted.memory is not None:
            # It cannot leave its enclosure: what the kernel counts there is all of it.
            return replace(found, processes=counted.processes, cpu=counted.cpu, memory=counted.memory)
        members = self.families.members(self.family)
        cpu = max(sum(member.cpu for member in members) + self.family.reaped, counted.cpu or 0.0)
        inside = counted.memory if counted.memory is not None and not self._fled(members) else None
        memory = self._memory(members) if inside is None else inside
        return replace(found, processes=max(len(members), counted.processes), cpu=cpu, memory=memory)

    def _fled(self, members: Sequence[Process]) -> bool:
        """Whether a process has left the enclosure, as one of the pilot's own user may: then it does not count all."""
        outside = self.enclosure.outside(member.pid for member in members) if self.enclosure else ()
        return any(about is not None and not about.over for about in map(procfs.process, outside))

    def _memory(self, members: Sequence[Process]) -> int:
        if len(members) == 1:
            return members[0].resident
        proportional = self.sharing() if members else None
        memory = 0
        for member in members:
            share = proportional(member.pid) if proportional else None
            memory += member.resident if share is None else share
        return memory

    def tell(self, number: int, program: str) -> int:
        return self.families.tell(self.family, number, program)

    def terminate(self) -> None:
        self.families.ask(self.family, signal.SIGTERM)
        self.families.ask(self.family, signal.SIGCONT)  # who is stopped hears nothing

    def kill(self) -> None:
        with self.families.lock:  # its user may be another's, once it is forgotten
            if not self.families.knows(self.family):
                return
            if self.enclosure is not None:
                self.enclosure.kill()
            if self.family.user is not None:
                userkill.kill_all_of(self.family.user)
            self.families.signal(self.family, signal.SIGKILL)

    def clear(self, seconds: float) -> int:
        if self.living():
            self.kill()
        left = self.families.clear(self.family, seconds)
        self.families.reap()
        self.families.forget(self.family)
        if self.enclosure is not None:
            self.enclosure.close()
        return left

    def living(self) -> int:
        return len(self.families.members(self.family, everywhere=True))

    def _counted(self) -> Counted:
        return Counted() if self.enclosure is None else self.enclosure.count()


class _Starting:
    """A payload's process before it is the payload: it waits for a line that says that everything is in place."""

    def __init__(self, words: list[str], launch: Launch, output: BinaryIO, errors: BinaryIO) -> None:
        self.words = words
        self.launch = launch
        self.output = output
        self.errors = errors
        self.pid = 0
        self.gate: BinaryIO  # once it is spawned

    def spawn(self) -> int:
        user = self.launch.user
        process = subprocess.Popen(
            self.words,
            cwd=self.launch.directory,
            env=self.launch.environment,
            stdin=subprocess.PIPE,
            stdout=self.output,
            stderr=self.errors,
            start_new_session=True,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
        )
        process.returncode = 0  # it is waited for elsewhere: Popen must not try
        self.gate = cast("BinaryIO", process.stdin)
        self.pid = process.pid
        return process.pid

    def let_go(self, enclosure: Optional[Enclosure]) -> None:
        """Enclose it, and let it become the payload. Whatever fails: it ends without having begun."""
        with self.gate:
            if enclosure is not None:
                enclosure.admit(self.pid)
            try:
                self.gate.write(b"go\n")
                self.gate.flush()
            except BrokenPipeError:
                pass  # somebody has ended it already


def _bounds(launch: Launch) -> tuple[str, str, str]:
    """The first three arguments of the prelude."""
    file = None if launch.file_bound is None else launch.file_bound // _BLOCK + 1
    processes = None if launch.user is None else launch.processes  # another's processes would be counted too
    return tuple("unlimited" if bound is None else str(bound) for bound in (file, launch.cpu_bound, processes))  # type: ignore[return-value]


def _created(path: Path, launch: Launch) -> BinaryIO:
    """A new file of the payload's user alone, which several processes may append to at once."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    if launch.user is not None:
        os.fchown(handle, launch.user.uid, launch.user.gid)
    return cast("BinaryIO", open(handle, "wb", buffering=0))


def _own_peak() -> int:
    """Bytes: the largest resident set that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
