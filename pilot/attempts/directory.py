"""The directory of one attempt: ``attempts/<job>.<attempt>`` below the pilot's work directory.

It is for the pilot's user alone; where the payload has a user of its own (`owner`), that one may pass through, and has
the places in which it works.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from pilot.errors import PilotageError
from pilot.payloads.slot_users import SlotUser, cannot_enter

#: Bytes at the end of a log that are looked at for its last lines.
_TAIL = 8192
TAIL_LINES = 40


@dataclass(frozen=True)
class AttemptDirectory:
    """Names the places in it. The payload runs in `job`; what stands beside it is the pilot's."""

    root: Path
    owner: Optional[SlotUser] = None  # of the payload; None: the pilot's

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

    @property
    def grant(self) -> Path:
        """What was granted, as JSON."""
        return self.root / "grant.json"

    @property
    def credentials(self) -> Path:
        """A folder with the secrets that the job asked for; there is none where it asked for none."""
        return self.root / "credentials"

    def create(self, token: str) -> None:
        """Make it anew, with the job's token in a file. Raises `PilotageError` where its owner could not reach it."""
        if self.root.exists():
            remove(self.root)
        self.root.parent.mkdir(mode=0o700, exist_ok=True)
        self.root.mkdir(mode=0o700)
        for place in (self.job, self.home, self.temporary):
            place.mkdir(mode=0o700)
        if self.owner is not None:
            _let_through(self.root.parent, self.owner)
            os.chown(self.root, -1, self.owner.gid)
            self.root.chmod(0o710)
        self.tell(self.token, token)

    def tell(self, path: Path, text: str) -> None:
        """Write a file beside the places of the payload, which it may read, and nobody else."""
        write_private(path, text, self.owner)

    def give(self, folder: Path) -> None:
        """A folder beside its places becomes the payload's."""
        if self.owner is not None:
            os.chown(folder, self.owner.uid, self.owner.gid)

    def hand_over(self) -> None:
        """What was put into its places becomes the owner's. Before the payload runs: it could leave links there."""
        if self.owner is None:
            return
        for top in (self.job, self.home, self.temporary):
            for folder, directories, files in os.walk(top):
                for name in (*directories, *files):
                    os.lchown(os.path.join(folder, name), self.owner.uid, self.owner.gid)
            os.lchown(top, self.owner.uid, self.owner.gid)


def _let_through(attempts: Path, owner: SlotUser) -> None:
    """Let other users pass through the pilot's two folders, which they may not list, and see that they get there."""
    for folder in (attempts, attempts.parent):
        folder.chmod(0o711)
    problem = cannot_enter(attempts, [owner])
    if problem:
        raise PilotageError(problem)


def owner_of(folder: Path) -> Optional[SlotUser]:
    """Whose a folder is, or a link in its place, if not ours: nothing is read there that this user could not read.

    Raises `OSError`.
    """
    about = folder.lstat()
    return None if about.st_uid == os.geteuid() else SlotUser(str(about.st_uid), about.st_uid, about.st_gid)


def write_private(path: Path, text: str, reader: Optional[SlotUser] = None) -> None:
    """Write a file that appears whole, and that only this user reads, or a payload's (the file is its own)."""
    aside = path.with_name(f".{path.name}.new")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
        if reader is not None:
            os.fchown(file.fileno(), reader.uid, reader.gid)
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
