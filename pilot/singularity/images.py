"""Images that were fetched, kept for the next payload: one folder, shared by the attempts of a pilot or by all pilots.

An image is held while a payload runs in it (a shared lock), fetched by one while the others wait (an exclusive lock),
and the least recently used ones that nobody holds go when the folder grows beyond its bound.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from pilot.errors import PilotageError
from pilot.persist import Stopped

#: Seconds after which a name in a registry is asked again: it may stand for another image by then.
STALE = 24 * 3600.0
_POLL = 0.1
Pause = Callable[[float], bool]


@dataclass
class Held:
    """An image that stays while it is held."""

    path: Path
    lock: int  # an open file that has the lock
    fetched: bool = False  # it was not there

    def release(self) -> None:
        """It may go now. Releasing twice is no error."""
        lock, self.lock = self.lock, -1
        if lock >= 0:
            os.close(lock)


class ImageCache:
    """Images in `place`, of `bound` bytes together. Any method may be called from any thread and by several pilots."""

    def __init__(self, place: Path, bound: int, now: Callable[[], float] = time.time) -> None:
        self.place = place
        self.bound = bound
        self.now = now

    def hold(self, name: str, fetch: Callable[[Path], object], pause: Pause, lasting: bool = False) -> Held:
        """The image of that name, fetched (to the path that `fetch` is given) where it is not there or is stale.

        `lasting`: the name says what is in it, as a digest does. Raises `Stopped`, `PilotageError` for a folder that
        others could write to, and what `fetch` raises.
        """
        self._make()
        key = hashlib.sha256(name.encode()).hexdigest()
        path = self.place / f"{key}.sif"
        lock = os.open(self.place / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        held = Held(path, lock)
        try:
            held.fetched = self._to_be_fetched(path, lock, lasting, pause)
            if held.fetched:
                self._fetch(path, fetch)
            os.utime(self.place / f"{key}.lock", (self.now(), self.now()))  # when it was used
            fcntl.flock(lock, fcntl.LOCK_SH)
            self.shrink()
        except BaseException:  # the lock does not outlive a failure, whatever it was
            held.release()
            raise
        return held

    def shrink(self) -> None:
        """Remove what nobody holds, the least recently used first, until the bound is kept."""
        for part in self.place.glob("*.part"):
            self._remove(part)  # of a pilot that was killed while it fetched; else that pilot holds it
        images = [(path, _size(path)) for path in self.place.glob("*.sif")]
        total = sum(size for _, size in images)
        for path, size in sorted(images, key=lambda image: _used(image[0])):
            if total <= self.bound:
                return
            if self._remove(path):
                total -= size

    def _remove(self, path: Path) -> bool:
        """Remove an image, or part of one, unless somebody holds it.

        Its lock stays: whoever waits for it would wait for another.
        """
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _to_be_fetched(self, path: Path, lock: int, lasting: bool, pause: Pause) -> bool:
        """Have the lock, alone where the image is to be fetched, which is returned. Raises `Stopped`."""
        while True:
            if self._usable(path, lasting):
                if _locked(lock, fcntl.LOCK_SH) and self._usable(path, lasting):
                    return False
            elif _locked(lock, fcntl.LOCK_EX):
                return not self._usable(path, lasting)
            elif _locked(lock, fcntl.LOCK_SH) and path.exists():
                return False  # stale, and others still run in it
            if pause(_POLL):
                raise Stopped(None)

    def _usable(self, path: Path, lasting: bool) -> bool:
        try:
            age = self.now() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        return lasting or age < STALE

    def _fetch(self, path: Path, fetch: Callable[[Path], object]) -> None:
        part = path.with_suffix(".part")
        try:
            fetch(part)
            part.chmod(0o444)
            os.utime(part, (self.now(), self.now()))
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _make(self) -> None:
        self.place.mkdir(mode=0o755, parents=True, exist_ok=True)
        about = self.place.stat()
        if about.st_uid != os.geteuid() or about.st_mode & 0o022:
            raise PilotageError(f"{self.place} is no place for images: others than this user could put one there")


def _locked(lock: int, kind: int) -> bool:
    """Whether the lock can be had just now."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _used(path: Path) -> float:
    try:
        return path.with_suffix(".lock").stat().st_mtime
    except OSError:
        return 0.0
