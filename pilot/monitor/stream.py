"""A file as the central gets it: a sequence of bytes with an end, masked, and bounded by leaving out its middle.

While the file grows, its first half of the bound may be sent. Once it is closed its length is known for good: all of it
if that is within the bound, else the first half, a line that says what is left out, and the last half.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from pilot.masking import mask, unfinished

#: Bytes of the line in place of the middle, whatever it says.
MARKER = 100
#: The least bound that leaves room for it.
LEAST_BOUND = 1000


def marker(left_out: int) -> bytes:
    """The line in place of the middle."""
    line = f"\n[... {left_out} bytes are left out here: this log is longer than its bound ...]"
    return line.ljust(MARKER - 1).encode() + b"\n"


def total(size: int, bound: int) -> int:
    """How long the stream of a file of this size is."""
    return min(size, max(bound, LEAST_BOUND))


class LogStream:
    """One file on its way. `measure`, `close` and `length` may be called from any thread, the rest from one.

    `sent` is the offset up to which the central has it. A file that was cut short by its writer goes on from its new
    beginning: what had been sent stays sent.
    """

    def __init__(self, name: str, path: Path, bound: int, secrets: Callable[[], Sequence[bytes]]) -> None:
        self.name = name
        self.path = path
        self.bound = max(bound, LEAST_BOUND)
        self.head = self.bound // 2
        self.secrets = secrets
        self.sent = 0
        self.closed = False
        self.told_last = False
        self._file = -1
        self._seen = 0  # bytes of file and of what was cut off before it
        self._shift = 0  # stream offset of the file's first byte
        self._lock = threading.Lock()

    def measure(self) -> None:
        """Look how long the file is now."""
        with self._lock:
            self._measure()

    def close(self) -> None:
        """Its length is final. Idempotent."""
        with self._lock:
            self._measure()
            self.closed = True

    def drop(self) -> None:
        """Let go of the file; nothing more is read."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            self.closed = True

    @property
    def length(self) -> int:
        """Bytes of the whole stream, as far as is known now."""
        return total(self._seen, self.bound)

    @property
    def ready(self) -> int:
        """Bytes that could be sent now."""
        if self.closed:
            return self.length - self.sent
        return min(self._seen, self.head) - self.sent

    @property
    def finished(self) -> bool:
        """Nothing more will ever be sent. Of an empty stream nothing is."""
        return self.closed and self.ready <= 0 and (self.told_last or self.length == 0)

    def rewind(self, offset: int) -> bool:
        """Go on from an offset that the central names. False: the bytes from there on are no longer to be had."""
        if not self._shift <= offset <= self.length:
            return False
        self.sent = offset
        self.told_last = False
        return True

    def read(self, most: int) -> bytes:
        """The next bytes, masked; fewer than `ready` where a secret may just be in the writing."""
        start = self.sent
        end = start + min(most, self.ready)
        if self._seen <= self.bound:
            return self._masked(start, end)
        if start < self.head:
            return self._masked(start, min(end, self.head))
        left_out = self._seen - (self.bound - MARKER)
        if start < self.head + MARKER:
            return marker(left_out)[start - self.head : end - self.head]
        ahead = self._seen - self.bound
        return self._masked(start + ahead, end + ahead)

    def _masked(self, start: int, end: int) -> bytes:
        """Bytes of the file by their offsets, looking around for secrets that cross a border."""
        secrets = self.secrets()
        around = max(map(len, secrets), default=1) - 1
        first = max(self._shift, start - around)
        last = min(self._seen, end + around)
        data = mask(self._pread(first, last - first), secrets)
        if last == self._seen and not self.closed:
            end = min(end, last - unfinished(data, secrets))
        return data[start - first : max(start, end) - first]

    def _pread(self, offset: int, length: int) -> bytes:
        """Bytes of the file; zeros where they have gone, so that offsets hold."""
        data = b""
        while len(data) < length:
            chunk = os.pread(self._file, length - len(data), offset - self._shift + len(data))
            if not chunk:
                return data.ljust(length, b"\0")
            data += chunk
        return data

    def _measure(self) -> None:
        if self.closed:
            return
        if self._file < 0:
            self._file = _open(self.path)
        if self._file < 0:
            return
        size = os.fstat(self._file).st_size
        if self._shift + size < self._seen:
            self._shift = self.sent
            self._seen = self.sent
        self._seen = max(self._seen, self._shift + size)


def _open(path: Path) -> int:
    """The file, or -1 while there is none. No link is followed: a payload must not make us read what is not its own."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return -1
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return -1
    return file
