"""Asks those who may give notice, every few seconds, in a thread of the monitor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Callable

from pilot.notices.notice import Notice, Source

#: Seconds between two looks. EC2 asks for 5 s; of the 30 s of others that is a sixth.
EVERY = 5.0
#: Looks in a row without an answer after which somebody is asked less often, and by how much.
MISSED, SLOWER = 5, 12


class Lookout:
    """`noticed` gets each notice once. What cannot be read is said once, and looked at less often after a while."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        noticed: Callable[[Notice], None],
        clock: Callable[[], float],
        say: Callable[[str], None],
        every: float = EVERY,
    ) -> None:
        self.sources = sources
        self.noticed = noticed
        self.clock = clock
        self.say = say
        self.every = every
        self._said: set[str] = set()  # messages
        self._missed: dict[str, int] = {}  # source → looks in a row without an answer

    def run(self, stop: threading.Event) -> None:
        turn = 0
        while not stop.is_set():
            self.turn(turn)
            turn += 1
            stop.wait(self.every)

    def turn(self, turn: int) -> None:
        """Look once; `turn` counts the looks."""
        for source in self.sources:
            missed = self._missed.get(source.name, 0)
            if missed >= MISSED and turn % SLOWER:
                continue
            try:
                notice = source.look(self.clock())
            except (OSError, ValueError, RecursionError) as error:
                self._missed[source.name] = missed + 1
                if not missed:
                    self.say(f"no word about the machine's end from {source.name}: {error}")
                continue
            self._missed[source.name] = 0
            if notice is not None and notice.message not in self._said:
                self._said.add(notice.message)
                self.noticed(notice)
