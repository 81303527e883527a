"""The directory of one attempt: ``attempts/<job>.<attempt>`` below the pilot's work directory, for this user alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Bytes at the end of a log that are looked at for its last lines.
_TAIL = 8192
TAIL_LINES = 40


@dataclass(frozen=True)
class AttemptDirectory:
    """Names the places in it. The payload runs in `job`; what stands beside it is the pilot's."""

    root: Path

    @property
    def job(self) -> Path:
        return self.root / "job"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def stdout(self) -> Path:
        return self.root / "stdout"

    @property
    def stderr(self) -> Path:
        return self.root / "stderr"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @property
    def deadline(self) -> Path:
        """Made when the payload is asked to end: seconds since the epoch at which it will be killed."""
        return self.root / "deadline"

    def create(self, token: str) -> None:
        """Make it anew, with the job's token in a file."""
        if self.root.exists():
            remove(self.root)
        self.root.parent.mkdir(mode=0o700, exist_ok=True)
        self.root.mkdir(mode=0o700)
        for place in (self.job, self.home, self.temporary):
            place.mkdir(mode=0o700)
        write_private(self.token, token)


def write_private(path: Path, text: str) -> None:
    """Write a file that appears whole, and that only this user reads."""
    aside = path.with_name(f".{path.name}.new")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(aside, path)


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_lines(path: Path) -> str:
    """The end of a log, whatever bytes are in it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, size_of(path) - _TAIL))
            text = file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def remove(root: Path) -> None:
    """Remove it with everything in it, also what the payload has closed up or nested without end."""
    try:
        shutil.rmtree(root)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        for words in (["chmod", "-R", "u+rwX", "--"], ["rm", "-rf", "--"]):
            subprocess.run([*words, str(root)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
