"""A notice, and how the time until an end is divided among those who need some of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Protocol

#: Seconds that payloads have to end, that their checkpoints have to be brought home, and that the pilot itself has,
#: when nobody knows how long it will be left alive. Batch systems kill after 10 s (LSF, PBS) to some minutes.
GRACE, FILES, REST = 10.0, 20.0, 20.0
#: Of a known time the pilot keeps so much for reports and its goodbye, at most that share.
WORDS, WORDS_SHARE = 5.0, 0.2
#: Of what is left then, checkpoints get so much at most, at most that share.
MOST_FILES, FILES_SHARE = 60.0, 0.4


@dataclass(frozen=True)
class Notice:
    """Somebody says when it will be over here. The same notice again has the same message."""

    message: str
    left: float  # seconds from now
    at_once: bool = True  # what runs shall save itself now; else it may run on until the end comes near


@dataclass(frozen=True)
class Times:
    """Seconds: for payloads to end by themselves, then for their checkpoints, then for all else."""

    grace: float
    files: float
    rest: float

    @property
    def total(self) -> float:
        return self.grace + self.files + self.rest


def divide(left: Optional[float]) -> Times:
    """How to use the seconds that are left; None: nobody knows how many."""
    if left is None:
        return Times(GRACE, FILES, REST)
    left = max(0.0, left)
    rest = min(WORDS, left * WORDS_SHARE)
    files = min(MOST_FILES, (left - rest) * FILES_SHARE)
    return Times(left - rest - files, files, rest)


@dataclass(frozen=True)
class Reply:
    """What a metadata service answered."""

    status: int
    body: bytes
    date: Optional[float] = None  # its own time, seconds since the epoch


#: Asks by method, URL and headers. Raises OSError when there is no answer within some seconds, ValueError for what is
#: no URL.
Fetch = Callable[[str, str, "dict[str, str]"], Reply]


class Source(Protocol):
    """Somebody who may give notice. `name` is for the log."""

    name: str

    def look(self, now: float) -> Optional[Notice]:
        """What is said now; `now` in seconds since the epoch. Raises OSError or ValueError when it cannot be read."""
