"""Inputs that were fetched by URL, kept for the next job that wants the same: one folder, by SHA-256.

As the cache of images does it, with one difference: an input is copied into the job's directory, since payloads may
write to their inputs, and its digest is taken again on the way, since payloads of this very user may write here too.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.destinations.port import BLOCK, Pause, Rejected
from pilot.errors import PilotageError, TransportError
from pilot.persist import Stopped
from pilot.singularity.images import ImageCache

#: Seconds to wait for another who fetches the same: its storage may be slow, or it may be stopped.
LOCK_PATIENCE = 60.0


@dataclass(frozen=True)
class InputCache:
    """In `place`, `bound` bytes together; without a place nothing is kept. For any thread, and for several pilots of
    one user."""

    place: Optional[Path] = None
    bound: int = 0
    now: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic

    def copy(
        self,
        sha256: str,
        whose: str,
        target: Path,
        fetch: Callable[[Path], None],
        pause: Pause,
        room: Optional[int] = None,
    ) -> None:
        """Bring the content with that digest to `target`; `fetch` is asked for it where it is not here.

        `whose`: for whom alone it is kept; empty: for everybody. `room`: bytes that there may be. Raises what `fetch`
        raises, `Rejected` for more than there is room for, `Stopped`.
        """
        if self.place is None:
            fetch(target)
            return
        files = ImageCache(self.place, self.bound, self.now)
        try:
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)  # other payloads' users may not look into it
            held = files.hold(f"{sha256} {whose}", fetch, self._patient(pause), lasting=True)
        except (OSError, PilotageError) as problem:
            if isinstance(problem, PilotageError) and not _of_the_cache(problem):
                raise
            fetch(target)  # the cache is full, or no good: the job need not suffer from that
            return
        try:
            size = held.path.stat().st_size
            if room is not None and size > room:
                raise Rejected(f"it has {size} bytes, more than the {room} bytes that the attempt has room for")
            found = _copied(held.path, target, pause)
            if found != sha256:
                held.path.unlink(missing_ok=True)
                raise TransportError(f"the kept copy of an input is not what it was: expected {sha256}, got {found}")
        finally:
            held.release()

    def _patient(self, pause: Pause) -> Pause:
        """Waits for the lock of another, and not for ever."""
        end = self.steady() + LOCK_PATIENCE

        def waits(seconds: float) -> bool:
            if self.steady() >= end:
                raise PilotageError(f"another has been fetching the same for {LOCK_PATIENCE:.0f} s")
            return pause(seconds)

        return waits


def _of_the_cache(problem: PilotageError) -> bool:
    return type(problem) is PilotageError


def _copied(source: Path, target: Path, pause: Pause) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("wb") as copy:
        while block := file.read(BLOCK):
            if pause(0):
                raise Stopped(None)
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()
