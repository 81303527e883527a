"""Who this pilot is to the central: its key, and what enrolment gave it. One object, shared by all threads."""

from __future__ import annotations

import threading
from typing import Callable

from pilot.protocol import EnrolReply


class Standing:
    """Stamp and session key, and the token, epoch and clock offset that the central told.

    `steady` is a clock in seconds that never steps, so that neither do the times of signatures when the node's clock is
    set.
    """

    def __init__(self, stamp: str, key: bytes, steady: Callable[[], float]) -> None:
        self.stamp = stamp
        self.key = key
        self.steady = steady
        self.token = ""
        self.epoch = 0
        self.heard = steady()  # when the central last answered anything
        self._offset = 0.0
        self._lock = threading.Lock()

    def enrolled(self, reply: EnrolReply, took: float) -> None:
        """Take over what an enrolment gave; the exchange took so many seconds."""
        with self._lock:
            self.epoch = reply.epoch
            self.token = reply.token
        self.learn(reply.server_time, took)

    def taken_up(self, epoch: int, token: str, server_time: float) -> None:
        """Be who an earlier monitor was; `server_time` as far as it can be told without asking."""
        with self._lock:
            self.epoch = epoch
            self.token = token
        self.learn(server_time, 0.0)

    def renewed(self, token: str) -> None:
        with self._lock:
            self.token = token

    def learn(self, server_time: float, took: float) -> None:
        """Learn the central's clock from an answer; on average it was given in the middle of the exchange."""
        if server_time > 0:
            with self._lock:
                self._offset = server_time + took / 2 - self.steady()

    def ahead(self, wall: float) -> float:
        """By how many seconds a clock that shows `wall` now is ahead of the central's."""
        return round(wall - self.now(), 2)

    def now(self) -> float:
        """The central's time, seconds since the epoch."""
        with self._lock:
            return self.steady() + self._offset
