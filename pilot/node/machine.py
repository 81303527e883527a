"""The edge between probes and the machine: files below a root, the environment, commands, and what only calls tell.

Tests give another root (a captured tree of `/proc`, `/sys` and `/etc`), a written-down `System`, and what commands
printed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from pilot.node.outside import Fetch, Run, fetch, run

#: More than any file of the kernel that is read here.
MAX_FILE = 4 * 1024 * 1024


@dataclass(frozen=True)
class System:
    """What system calls and the C library say."""

    affinity: tuple[int, ...]  # numbers of the CPUs that this process may use
    arch: str
    kernel: str
    host: str
    python: str
    glibc: Optional[str] = None  # as "2.36"


@dataclass(frozen=True)
class Machine:
    """One machine, as probes see it. Nothing but the files is there unless it is given."""

    system: System
    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=dict)
    run: Run = lambda words: None
    fetch: Fetch = lambda request: None
    now: Callable[[], float] = time.time  # seconds since the epoch

    def number(self, variable: str) -> Optional[int]:
        """A whole number of the environment that is not negative; None where there is none."""
        return whole(self.environment.get(variable, ""))

    def read(self, path: str) -> Optional[str]:
        """The text of a file, None where it cannot be read."""
        try:
            with (self.root / path.lstrip("/")).open("rb") as file:
                return file.read(MAX_FILE).decode("utf-8", "replace")
        except (OSError, ValueError):  # a path from the environment may be none at all
            return None


def whole(text: str) -> Optional[int]:
    """A whole number that is not negative, of at most 18 digits, as nobody has more; None for anything else."""
    word = text.strip()
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 19 else None


def this_machine() -> Machine:
    """The machine that this process runs on."""
    about = os.uname()
    system = System(
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        arch=about.machine,
        kernel=about.release,
        host=about.nodename,
        python=platform.python_version(),
        glibc=_glibc(),
    )
    return Machine(system, environment=dict(os.environ), run=run, fetch=fetch)


def _glibc() -> Optional[str]:
    """The version of glibc that this Python runs with, None with another C library."""
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION") or ""  # "glibc 2.36"
    except (ValueError, OSError):
        name = ""
    if name.startswith("glibc "):
        return name.split()[1]
    try:
        version = ctypes.CDLL(None).gnu_get_libc_version
    except (OSError, AttributeError):
        return None
    version.restype = ctypes.c_char_p
    found = version()
    return found.decode("ascii", "replace") if isinstance(found, bytes) else None
