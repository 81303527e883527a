"""Which folder a slot user's attempt is in, written down for all pilots of this machine.

A lock ends with its pilot, and the folder with the token, the credentials and the files of the user may stay: who runs
as that user next could read it. So the user is passed over until the folder is gone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Bytes of a path, and more.
MAX_SIZE = 8192


@dataclass(frozen=True)
class Marks:
    """Files beside the lock file, in a folder in which only root writes. Whoever calls has the user's lock."""

    lock: Path

    def put(self, uid: int, place: Path) -> None:
        """This user's attempt is in that folder from now on. Raises OSError."""
        path = self._path(uid)
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(os.fsencode(place))

    def stands(self, uid: int) -> bool:
        """Whether the folder of this user's last attempt is there still, or may be."""
        try:
            place = self._read(uid)
            return bool(place) and bool(os.lstat(place))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # a file system that is away now comes back

    def remove(self, uid: int) -> None:
        """Nothing of the user's is left that somebody may not read."""
        with suppress(OSError):
            self._path(uid).unlink()

    def remove_below(self, uid: int, attempts: Path) -> None:
        """The same, if it was an attempt of the pilot that has this folder for them."""
        with suppress(OSError):
            if Path(os.fsdecode(self._read(uid))).parent == attempts.absolute():
                self.remove(uid)

    def _path(self, uid: int) -> Path:
        return self.lock.with_name(f"{self.lock.name}.{uid}")

    def _read(self, uid: int) -> bytes:
        handle = os.open(self._path(uid), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            return file.read(MAX_SIZE)
