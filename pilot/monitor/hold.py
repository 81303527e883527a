"""A work directory has one monitor: whoever has it, holds a lock that ends with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pilot.errors import InvalidInput

#: The file that is locked; the process id in it is for people.
NAME = "lock"


@contextmanager
def held(work: Path) -> Iterator[None]:
    """Have the folder for as long as it takes. Raises `InvalidInput` when another process has it.

    Where the file system knows no locks nobody is kept out.
    """
    handle = os.open(work / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
            raise InvalidInput(
                str(work),
                f"expected a folder that nobody works in, got one that process {who} holds; end it first",
            ) from None
        except OSError:
            pass  # no locks here
        with suppress(OSError):  # a full disk
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
