"""`pilot.log`: what the monitor says, and what the agent prints, one file for both."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: Bytes of the file's end that are looked at for last lines.
TAIL = 4096


class PilotLog:
    """The open file. `say` may be called from any thread and never fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def say(self, text: str) -> None:
        """One line, with the time and who says it."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} monitor: {text}\n"
        try:
            os.write(self.file, line.encode("utf-8", "replace"))
        except OSError:
            pass  # a full disk stops nobody

    def last_lines(self, lines: int) -> str:
        """The last lines that the agent printed, for whoever asks why it died."""
        try:
            with open(self.path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                found = file.read(TAIL).decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in found if " monitor: " not in line][-lines:])
