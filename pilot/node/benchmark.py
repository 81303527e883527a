"""A short measurement of one core: MB of a fixed text that bzip2 compresses in a second of CPU time.

Run as a program of its own, it prints the number. bzip2 because its code has been the same for many years, uses no
special instructions, and does not depend on the version of Python, as loops in Python would. CPU time because payloads
may be running beside it; it yields to them.
"""

from __future__ import annotations

import bz2
import ctypes
import os
import signal
import statistics
import time

#: One block of bzip2 at its largest.
SIZE = 900_000
ROUNDS = 9
#: Seconds of CPU time after which enough has been measured, on slow cores.
ENOUGH = 3.0
_WORDS = b"pilot lease slot offer match queue needs share stamp monitor agent payload site".split()


def text() -> bytes:
    """The same words in the same disorder, everywhere."""
    state, chosen, size = 12345, [], 0
    while size < SIZE:
        state = (state * 1103515245 + 12345) % 2**31
        word = _WORDS[(state >> 16) % len(_WORDS)]
        chosen.append(word)
        size += len(word) + 1
    return b" ".join(chosen)[:SIZE]


def score(rounds: int = ROUNDS) -> float:
    """The median of some rounds, in MB (10^6 bytes) per second of CPU time."""
    data = text()
    found: list[float] = []
    while len(found) < rounds and sum(found) < ENOUGH:
        before = time.process_time()
        bz2.compress(data, 9)
        found.append(time.process_time() - before)
    return SIZE / 1e6 / max(1e-9, statistics.median(found))


def _die_with_parent() -> None:
    """A benchmark that nobody waits for is of no use."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        pass


if __name__ == "__main__":
    _die_with_parent()
    os.nice(10)
    print(f"{score():.2f}")
