"""Programs that a command runs: with a time limit, what they print passed on and its end kept."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Protocol

from pilot.errors import PilotageError

#: Bytes at the end of what a program prints that are kept for the command.
KEPT = 64 * 1024
_BLOCK = 64 * 1024


@dataclass(frozen=True)
class Ran:
    """How a program ended; `code` is negative where a signal ended it. `output` is the end of all that it printed."""

    code: int
    output: str


class Programs(Protocol):
    """Runs programs for a command."""

    def run(self, words: Sequence[str], seconds: Optional[float], environment: Optional[Mapping[str, str]]) -> Ran:
        """Raises `PilotageError` when it cannot be started, or is not done in time: then it is ended."""


class RealPrograms:
    """Programs of this machine. `pass_on` gets what they print, as it comes."""

    def __init__(self, pass_on: Callable[[bytes], None]) -> None:
        self.pass_on = pass_on

    def run(self, words: Sequence[str], seconds: Optional[float], environment: Optional[Mapping[str, str]]) -> Ran:
        name = words[0] if words else ""
        try:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise PilotageError(f"{name} cannot be run: {error}") from error
        with process:
            kept = self._listen(process, None if seconds is None else time.monotonic() + seconds)
            if kept is None:
                raise PilotageError(f"{name} was not done after {seconds:g} s")
            return Ran(process.wait(), kept.decode("utf-8", "replace"))

    def _listen(self, process: subprocess.Popen[bytes], end: Optional[float]) -> Optional[bytes]:
        """The end of what it printed; None when time was over first, and it was killed."""
        output, kept = process.stdout, b""
        with selectors.DefaultSelector() as selector:
            if output is None:  # cannot be: it is a pipe
                return kept
            selector.register(output, selectors.EVENT_READ)
            while True:
                if end is not None and time.monotonic() >= end:
                    os.killpg(process.pid, signal.SIGKILL)
                    return None
                # What it left in the background may hold its output open: its own end is the end.
                if not selector.select(0.2 if end is None else max(0.0, min(0.2, end - time.monotonic()))):
                    if process.poll() is not None:
                        return kept
                    continue
                block = os.read(output.fileno(), _BLOCK)
                if not block:
                    return kept if self._gone(process, end) else None
                self.pass_on(block)
                kept = (kept + block)[-KEPT:]

    @staticmethod
    def _gone(process: subprocess.Popen[bytes], end: Optional[float]) -> bool:
        """Wait for one that has closed its output. False when time was over first, and it was killed."""
        try:
            process.wait(None if end is None else max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return False
        return True
