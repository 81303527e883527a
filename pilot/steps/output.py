"""What a step says and prints, in a file of bounded size that is pushed as a stream of its own as it grows.

The file gets the first bytes as they come. Of what goes beyond, the end is kept in memory and written at the end of the
step, behind a line that says how much is left out: a command that prints without end fills no disk and holds up nobody.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Callable, Optional

from pilot.protocol import MAX_TAIL

#: Bytes kept of the end of a step that says more than fits.
TAIL = 256 * 1024
#: Steps of one agent at most, so that those of the next have numbers of their own.
STEPS = 1000
#: Lines of a step that are reported with its end.
TAIL_LINES = 20
_ODD = re.compile(r"[^A-Za-z0-9._-]")


class StepLog:
    """One step's. `write` may be called from any one thread at a time; a disk that is full stops nobody."""

    def __init__(self, file: Optional[BinaryIO], head: int, closed: Callable[[], None]) -> None:
        self.file = file
        self.head = head
        self.closed = closed
        self.size = 0  # bytes that came
        self.end = bytearray()  # the last of them
        self.kept = 0  # bytes in the file

    def say(self, line: str) -> None:
        self.write(line.encode("utf-8", "replace") + b"\n")

    def write(self, block: bytes) -> None:
        self.size += len(block)
        self.end += block
        if len(self.end) > 2 * TAIL:
            del self.end[:-TAIL]
        fits = block[: max(0, self.head - self.kept)]
        if fits:
            self.kept += len(fits)
            self._put(fits)

    def close(self) -> None:
        """Nothing more comes: what was kept of the end goes behind the beginning."""
        if self.size > self.kept:
            rest = bytes(self.end[-min(TAIL, self.size - self.kept) :])
            left_out = self.size - self.kept - len(rest)
            if left_out:
                self._put(f"\n[... {left_out} bytes are left out here ...]\n".encode())
            self._put(rest)
        if self.file is not None:
            self.file.close()
            self.file = None
            self.closed()

    def tail(self) -> str:
        """The last lines, for the report."""
        text = bytes(self.end[-MAX_TAIL:]).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])[-MAX_TAIL:]

    def _put(self, block: bytes) -> None:
        if self.file is not None:
            try:
                self.file.write(block)
            except OSError:
                pass  # the report has the last lines anyway


class StepLogs:
    """The logs of one agent's steps, in a folder. `stream` and `close_stream` are the central's."""

    def __init__(
        self,
        folder: Path,
        first: int,
        bound: int,
        stream: Callable[[str, Path], None],
        close_stream: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.first = first
        self.bound = bound
        self.stream = stream
        self.close_stream = close_stream

    def open(self, number: int, command: str) -> StepLog:
        """The log of the step of that number, from 1."""
        name = stream_name(self.first + number, command)
        path = self.folder / name
        try:
            self.folder.mkdir(mode=0o711, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            file: Optional[BinaryIO] = open(handle, "wb", buffering=0)  # noqa: SIM115 - closed with its step
        except OSError:
            return StepLog(None, self.bound // 2, lambda: None)
        self.stream(name, path)
        return StepLog(file, self.bound // 2, lambda: self.close_stream(name))


def stream_name(number: int, command: str) -> str:
    """What the stream of a step is called: ``step-3-module.attribute``."""
    return f"step-{number}-{_ODD.sub('.', command)}"[:100]
