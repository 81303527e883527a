"""The files of the kernel's control groups, as far as enclosures touch them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Optional, Protocol


class Tree(Protocol):
    """Paths are those of this machine. What is refused raises OSError, as the kernel says it."""

    def read(self, path: str) -> Optional[str]:
        """A file's text, None where there is none that may be read."""

    def write(self, path: str, text: str) -> None:
        """Write in one go: the kernel takes each write for a command."""

    def make(self, path: str) -> None:
        """Make a group. One that is there already is an error."""

    def remove(self, path: str) -> None:
        """Remove a group without processes."""

    def names(self, path: str) -> list[str]:
        """Names of the groups directly below one."""

    def writable(self, path: str) -> bool:
        """Whether this process may write to a file, or make groups in a group."""

    def age(self, path: str) -> float:
        """Seconds since a group was made."""

    def hold(self, path: str) -> None:
        """Say that a group is in use: until it is let go, or this process ends."""

    def let_go(self, path: str) -> None:
        """Say that it is not any more."""

    def held(self, path: str) -> bool:
        """Whether a process says that it uses a group."""


class KernelTree:
    """The real one. `now` is of the clock that files are dated by."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._held: dict[str, int] = {}  # path → file descriptor

    def read(self, path: str) -> Optional[str]:
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def write(self, path: str, text: str) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def make(self, path: str) -> None:
        os.mkdir(path, 0o755)

    def remove(self, path: str) -> None:
        os.rmdir(path)

    def names(self, path: str) -> list[str]:
        try:
            with os.scandir(path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            return []

    def writable(self, path: str) -> bool:
        return os.access(path, os.W_OK)

    def age(self, path: str) -> float:
        try:
            return self.now - os.stat(path).st_mtime
        except OSError:
            return 0.0

    def hold(self, path: str) -> None:
        self._held[path] = _locked(path)

    def let_go(self, path: str) -> None:
        handle = self._held.pop(path, None)
        if handle is not None:
            os.close(handle)

    def held(self, path: str) -> bool:
        try:
            os.close(_locked(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def _locked(path: str) -> int:
    """A descriptor of a directory, locked for us alone. Raises OSError, BlockingIOError where somebody has it."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
