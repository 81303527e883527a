"""What an attempt is told of transfers that are tried again: a sentence for whoever looks, and lines for the log."""

from __future__ import annotations

import time
from typing import Callable

#: Seconds between two lines in the log.
PAUSE = 30.0
#: Characters of the sentence.
MOST = 500


class TriedAgain:
    """Of one attempt, for any of its threads. `sentence` is empty while nothing is tried again."""

    def __init__(self, say: Callable[[str], None], steady: Callable[[], float] = time.monotonic) -> None:
        self.say = say
        self.steady = steady
        self.sentence = ""
        self._said = float("-inf")

    def __call__(self, sentence: str) -> None:
        self.sentence = sentence[:MOST]
        if sentence and self.steady() - self._said >= PAUSE:
            self._said = self.steady()
            self.say(sentence)
