"""How much a directory holds, measured in small portions: a hundred thousand files must not hold anything up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

#: Seconds that one portion may take.
PORTION = 0.05
#: The meter looks for at most this part of the time; a walk that took long is followed by a long rest.
SHARE = 0.05
#: Files between two looks at the clock.
_BATCH = 256
#: Bytes that something occupies, and when it was changed: the time that nobody can set.
Found = tuple[int, float]


class DiskMeter:
    """Bytes on disk below one directory. Links are not followed; a file with several names counts once."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bytes: Optional[int] = None  # as of the last walk that was completed
        self.touched: Optional[float] = None  # when anything there was changed last, as of that walk
        self._walk: Optional[Iterator[Found]] = None
        self._so_far = 0
        self._newest = 0.0
        self._spent = 0.0
        self._not_before = 0.0

    @property
    def at_least(self) -> int:
        """What is known to be there: a walk that has not ended may have seen more than the last one that has."""
        return max(self.bytes or 0, self._so_far)

    def advance(self, now: float) -> None:
        """Walk on for a portion, unless it is time to rest. `now` is of the monotonic clock."""
        if self._walk is None:
            if now < self._not_before:
                return
            self._walk, self._so_far, self._newest, self._spent = walk(self.place), 0, 0.0, 0.0
        started = time.monotonic()
        ended = self._portion(self._walk, started + PORTION)
        self._spent += time.monotonic() - started
        if ended:
            self._walk, self.bytes, self.touched = None, self._so_far, self._newest or None
            self._not_before = now + self._spent / SHARE

    def final(self) -> int:
        """What there is at the end: measured once more where that is quick, else as last seen."""
        if self._spent > 10 * PORTION:
            return self.at_least
        self._walk, self._so_far = None, 0
        self.bytes = sum(sizes(self.place))
        return self.bytes

    def _portion(self, found: Iterator[Found], end: float) -> bool:
        for count, (size, changed) in enumerate(found, start=1):
            self._so_far += size
            self._newest = max(self._newest, changed)
            if count % _BATCH == 0 and time.monotonic() >= end:
                return False
        return True


def sizes(place: Path) -> Iterator[int]:
    """The bytes that each file and directory below a place occupies."""
    return (size for size, _ in walk(place))


def walk(place: Path) -> Iterator[Found]:
    """Each file and directory below a place. What vanishes meanwhile is left out."""
    seen: set[tuple[int, int]] = set()  # files with several names
    waiting = [os.fspath(place)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                except OSError:
                    continue
                if about.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                    if (about.st_dev, about.st_ino) in seen:
                        continue
                    seen.add((about.st_dev, about.st_ino))
                yield about.st_blocks * 512, about.st_ctime
