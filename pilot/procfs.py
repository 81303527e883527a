"""Processes as `/proc` shows them. What has gone in the meantime is None or absent, never an error."""

from __future__ import annotations

import fnmatch
import os
import time
from dataclasses import dataclass
from typing import Optional

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One process, from its `stat` file. `started` together with `pid` names it for ever."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    cpu: float  # seconds, of it and of those that it waited for
    started: int  # clock ticks since the machine's start
    resident: int  # bytes
    threads: int = 1

    @property
    def over(self) -> bool:
        """Ended, and only waited for. A main thread that has ended leaves the others running."""
        return self.state in ("Z", "X") and self.threads <= 1


def parse_stat(text: str) -> Optional[Process]:
    """A line of `/proc/<pid>/stat`. The name in brackets may hold anything, brackets included."""
    before, _, after = text.rpartition(")")
    fields = after.split()
    number = before.partition(" ")[0]
    if len(fields) < 22 or not number.isdigit():
        return None
    return Process(
        pid=int(number),
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        cpu=sum(int(value) for value in fields[11:15]) / _TICKS,
        started=int(fields[19]),
        resident=int(fields[21]) * _PAGE,
        threads=int(fields[17]),
    )


def process(pid: int) -> Optional[Process]:
    text = _read(f"/proc/{pid}/stat")
    return parse_stat(text.decode("utf-8", "replace")) if text is not None else None


def children(pid: int) -> list[int]:
    """Its living and ended children, as the kernel lists them for each of its threads."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        text = _read(f"/proc/{pid}/task/{thread}/children")
        if text:
            found.extend(int(word) for word in text.split())
    return found


def kernel_lists_children() -> bool:
    """Whether this kernel was built with the list of children (CONFIG_PROC_CHILDREN)."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def all_children() -> dict[int, list[int]]:
    """Parent → children for the whole machine: slow, for kernels that do not list them."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        about = process(int(name)) if name.isdigit() else None
        if about is not None:
            found.setdefault(about.parent, []).append(about.pid)
    return found


def age(pid: int) -> Optional[float]:
    """Seconds since a process was started, None where it cannot be seen."""
    found = process(pid)
    if found is None:
        return None
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - found.started / _TICKS)


def has_variable(pid: int, variable: bytes) -> bool:
    """Whether the environment that it was started with has this variable, as NAME=value."""
    text = _read(f"/proc/{pid}/environ")
    return text is not None and variable in text.split(b"\0")


def name(pid: int) -> str:
    """The kernel's short name of a process, empty where it is gone."""
    return os.fsdecode(_read(f"/proc/{pid}/comm") or b"").rstrip("\n")


def runs(pid: int, program: str) -> bool:
    """Whether a process runs a program, given as a glob: by its first two words, the second as interpreters have it."""
    words = (_read(f"/proc/{pid}/cmdline") or b"").split(b"\0")[:2]
    return any(fnmatch.fnmatchcase(os.path.basename(os.fsdecode(word)), program) for word in words if word)


def words(pid: int) -> list[bytes]:
    """The command line of a process, word by word."""
    return (_read(f"/proc/{pid}/cmdline") or b"").split(b"\0")[:-1]


def environment(pid: int) -> list[bytes]:
    """The environment that a process was started with, as NAME=value; empty where it is not for us to see."""
    return (_read(f"/proc/{pid}/environ") or b"").split(b"\0")[:-1]


def folder(pid: int) -> str:
    """Where a process works, empty where that is not for us to see."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def _read(path: str) -> Optional[bytes]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(handle, 65536):  # lists of the kernel come in pieces of any size
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(handle)
