"""Logs that are not pushed yet, under names of their own: whoever takes the monitor's place finds what is to be pushed.

A log has a second name (a hard link) in the folder `work/logs` until all of it is at the central, so that it is there
also when the directory of its attempt is gone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Callable

from pilot.protocol import AttemptId

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ATTEMPT = re.compile(r"job-(\d{1,18})-(\d{1,9})-(?:stdout|stderr)")
#: What stands for an attempt whose logs may show secrets that only its own monitor knows.
SECRET = ".secret"


class KeptLogs:
    """The folder. For any thread; a disk that is full, or knows no links, stops nobody."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self._failed = False

    def keep(self, name: str, path: Path) -> None:
        """Give a log its second name."""
        if not _NAME.fullmatch(name):
            return
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            os.link(path, self.folder / name, follow_symlinks=False)
        except FileExistsError:
            pass  # found again after a restart
        except OSError as error:
            if not self._failed:
                self._failed = True
                self.say(f"logs that are not pushed yet would be lost with the monitor: {path}: {error.strerror}")

    def gone(self, name: str) -> None:
        """It is pushed, or given up."""
        if _NAME.fullmatch(name):
            (self.folder / name).unlink(missing_ok=True)

    def secret(self, owner: str) -> bool:
        """The logs of an attempt may show secrets from now on. Whether that could be written down."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / f"{owner}{SECRET}").touch(mode=0o600)
        except OSError:
            return False
        return True

    def no_secret(self, owner: str) -> None:
        """They have none any more, or are all pushed."""
        (self.folder / f"{owner}{SECRET}").unlink(missing_ok=True)

    def has_secret(self, owner: str) -> bool:
        return (self.folder / f"{owner}{SECRET}").exists()

    def found(self) -> dict[str, Path]:
        """Stream → file, of what an earlier monitor left."""
        try:
            paths = sorted(self.folder.iterdir())
        except OSError:
            return {}
        return {path.name: path for path in paths if _NAME.fullmatch(path.name) and path.suffix != SECRET}

    def remove(self) -> None:
        """The pilot has said goodbye: nobody pushes any of it any more."""
        for path in (*self.found().values(), *self.folder.glob(f"*{SECRET}")):
            path.unlink(missing_ok=True)
        try:
            self.folder.rmdir()
        except OSError:
            pass  # there was none, or it holds what is not ours


def attempts_of(names: list[str]) -> dict[AttemptId, list[str]]:
    """The streams of each attempt."""
    found: dict[AttemptId, list[str]] = {}
    for name in names:
        match = _ATTEMPT.fullmatch(name)
        if match:
            found.setdefault(AttemptId(int(match[1]), int(match[2])), []).append(name)
    return found
