"""What a main loop waits for besides its sockets: signals, and calls that other threads want made in it."""

from __future__ import annotations

import os
import queue
import select
import signal
import time
from collections.abc import Iterable
from typing import Callable, Optional

#: What batch systems and people send before they kill.
ENDING_SIGNALS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU,
)  # fmt: skip


class Waking:
    """A file descriptor that becomes readable when a signal came, a child ended, or a call was posted."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self._write_end, False)
        self.signalled: Optional[int] = None
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def catch(self, signals: Iterable[int] = ENDING_SIGNALS) -> None:
        """Take these signals from now on, but for those that whoever started us had ignored. For the main thread."""
        for number in signals:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # with no handler there is nothing to wake up for
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)

    def post(self, call: Callable[[], None]) -> None:
        """Have this called in the main loop. From any thread."""
        self._calls.put(call)
        try:
            os.write(self._write_end, b"\0")
        except BlockingIOError:
            pass  # full: it is readable already

    def run_posted(self) -> None:
        """Make the calls that were posted. In the main loop, once `read_end` is readable or after some time."""
        try:
            os.read(self.read_end, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            call()

    def signalled_within(self, seconds: float) -> bool:
        """Wait so long, or until a signal says that everything must end. Whether one did."""
        deadline = time.monotonic() + seconds
        while self.signalled is None and time.monotonic() < deadline:
            select.select([self.read_end], [], [], max(0.0, deadline - time.monotonic()))
            self.run_posted()
        return self.signalled is not None

    def _note(self, number: int, frame: object) -> None:
        if self.signalled is None:
            self.signalled = number
