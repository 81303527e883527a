"""What a payload prints, as log streams: pushed from the first byte on, and ended when nothing more can come."""

from __future__ import annotations

import threading

from commands.context import Central
from pilot.attempts.directory import AttemptDirectory, size_of
from pilot.protocol import Lease, attempt_stream


class Prints:
    """Those of one attempt. Any method may be called from any thread."""

    def __init__(self, lease: Lease, place: AttemptDirectory, central: Central) -> None:
        self.files = {
            attempt_stream(lease.job, lease.attempt, "stdout"): place.stdout,
            attempt_stream(lease.job, lease.attempt, "stderr"): place.stderr,
        }
        self.central = central
        self._lock = threading.Lock()
        self._streamed: set[str] = set()
        self._closed = False

    def follow(self) -> None:
        """Have pushed what is not empty any more."""
        with self._lock:
            if self._closed:
                return  # a last look of the watchdog, when all is over
            for name, path in self.files.items():
                if name not in self._streamed and size_of(path):
                    self._streamed.add(name)
                    self.central.stream(name, path)

    def close(self) -> None:
        """Nothing more is printed."""
        self.follow()
        with self._lock:
            self._closed = True
            for name in self._streamed:
                self.central.close_stream(name)

    def sizes(self) -> dict[str, int]:
        """Bytes by stream, without empty ones."""
        sizes = {name: size_of(path) for name, path in self.files.items()}
        return {name: size for name, size in sizes.items() if size}
