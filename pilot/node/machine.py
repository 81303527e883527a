"""The edge between probes and the machine: files below a root, and what only system calls tell.

Tests give another root (a captured tree of `/proc`, `/sys` and `/etc`) and a written-down `System`.
"""

from __future__ import annotations

import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

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
    system: System
    root: Path = Path("/")

    def read(self, path: str) -> Optional[str]:
        """The text of a file, None where it cannot be read."""
        try:
            with (self.root / path.lstrip("/")).open("rb") as file:
                return file.read(MAX_FILE).decode("utf-8", "replace")
        except OSError:
            return None


def this_machine() -> Machine:
    """The machine that this process runs on."""
    about = os.uname()
    return Machine(
        System(
            affinity=tuple(sorted(os.sched_getaffinity(0))),
            arch=about.machine,
            kernel=about.release,
            host=about.nodename,
            python=platform.python_version(),
            glibc=_glibc(),
        )
    )


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
