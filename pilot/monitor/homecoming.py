"""Brings home the outputs of attempts that had ended when the monitor was killed, before their ends are told.

Only of those that the central says are this pilot's still: another attempt of the job may have delivered its own since.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Callable

from pilot.attempts import unfinished
from pilot.config import Config
from pilot.monitor.central_client import CentralClient
from pilot.monitor.claims import Claims
from pilot.monitor.pilot_log import PilotLog
from pilot.protocol import AttemptId, AttemptReport

#: Seconds between two words to the central, for which the pilot's leases would end otherwise.
WORD = 60.0
#: Seconds between looks whether to stop.
LOOK = 0.2
_DIRECTORY = re.compile(r"(\d{1,18})\.(\d{1,9})")


@dataclass(frozen=True)
class Homecoming:
    """Of one pilot. All of it together takes no longer than the pilot would have at its end. `stop`: whether to."""

    config: Config
    client: CentralClient
    log: PilotLog
    stop: Callable[[], bool]

    def run(self, ended: Collection[tuple[int, int]]) -> dict[AttemptId, AttemptReport]:
        """Deliver what waits, of attempts that are ours and whose end is not known. Returns their reports."""
        waiting = {attempt: root for attempt, root in self._waiting() if (attempt.job, attempt.attempt) not in ended}
        if not waiting:
            return {}
        self.log.say(f"the outputs of {len(waiting)} attempts are brought home first")
        pause = partial(self._pause, time.monotonic() + self.config.finish)
        claims = Claims(self.client, waiting, self.log.say)
        claims.settle(pause, random.random)
        with self._speaking(claims):
            return self._bring(waiting, claims, pause)

    def _bring(
        self, waiting: dict[AttemptId, Path], claims: Claims, pause: Callable[[float], bool]
    ) -> dict[AttemptId, AttemptReport]:
        from pilot.agent import OnDemand  # heavy, and hardly any monitor comes here
        from pilot.destinations.storages import Storages
        from pilot.payloads.rights import forget_groups
        from pilot.workplace import signer

        sandboxes, storages = OnDemand(self.config), Storages(dict(os.environ), partial(signer, self.config))
        if self.config.slot_users:
            forget_groups()  # files are read with the rights of whoever wrote them
        reports = {}
        for attempt, root in waiting.items():
            if attempt not in claims.ours:
                self.log.say(f"job {attempt.job} attempt {attempt.attempt} is not ours any more: nothing is delivered")
                continue
            found = unfinished.read(root)
            if found is None:
                continue
            try:
                reports[attempt] = unfinished.bring_home(root, found, sandboxes, storages, random.random, pause)
            except Exception as error:  # noqa: BLE001 - whatever it is costs this attempt alone, which is a node fault
                self.log.say(f"job {attempt.job} attempt {attempt.attempt}: {type(error).__name__}: {error}")
        return reports

    def _waiting(self) -> Iterator[tuple[AttemptId, Path]]:
        attempts = self.config.work / "attempts"
        for root in sorted(attempts.iterdir()) if attempts.is_dir() else ():
            named = _DIRECTORY.fullmatch(root.name)
            if named and (root / unfinished.NAME).exists():
                yield AttemptId(int(named[1]), int(named[2])), root

    @contextmanager
    def _speaking(self, claims: Claims) -> Iterator[None]:
        """Let the central hear from the pilot meanwhile, and say what it has lost."""
        over = threading.Event()

        def speak() -> None:
            while not over.wait(WORD) and claims.ours:
                claims.ask()

        speaking = threading.Thread(target=speak, name="word", daemon=True)
        speaking.start()
        try:
            yield
        finally:
            over.set()
            speaking.join(1.0)

    def _pause(self, until: float, seconds: float) -> bool:
        """Wait between two tries; whether the time is over. From any thread."""
        end = min(until, time.monotonic() + seconds)
        while not self.stop() and time.monotonic() < end:
            time.sleep(min(LOOK, max(0.0, end - time.monotonic())))
        return self.stop() or time.monotonic() >= until
