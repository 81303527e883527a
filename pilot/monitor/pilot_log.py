"""`pilot.log`: what the monitor says, and what the agent prints, one file for both."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path

#: Bytes of the file's end that are looked at for last lines.
TAIL = 4096
#: Lines that wait for a disk that is full; of more, the newest.
UNSAID = 1000


class PilotLog:
    """The open file. `say` may be called from any thread and never fails; what a full disk keeps out is said later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unsaid: deque[bytes] = deque(maxlen=UNSAID)
        self._saying = threading.Lock()
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def say(self, text: str) -> None:
        """One line, with the time and who says it."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} monitor: {text}\n"
        with self._saying:
            self._unsaid.append(line.encode("utf-8", "replace"))
            while self._unsaid:
                written = self._write(self._unsaid[0])
                if written < len(self._unsaid[0]):
                    self._unsaid[0] = self._unsaid[0][written:]
                    return
                self._unsaid.popleft()

    def _write(self, line: bytes) -> int:
        """How many bytes of it went out."""
        try:
            return os.write(self.file, line)
        except OSError:
            return 0  # a full disk stops nobody

    def last_lines(self, lines: int) -> str:
        """The last lines that the agent printed, for whoever asks why it died."""
        try:
            with open(self.path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                found = file.read(TAIL).decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in found if " monitor: " not in line][-lines:])
