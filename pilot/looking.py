"""What people ask for beside reading a log from its beginning: lines that match, and files of a job that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class LogLine:
    """A line of a log: where it begins, and what it says, without its end if it is very long."""

    offset: int
    text: str


@dataclass(frozen=True)
class LogMatches:
    """The lines of a log that match, of those that were looked at."""

    lines: tuple[LogLine, ...]
    next: int  # the offset from which to look on
    size: int  # bytes that the stream has now
    complete: bool  # the stream was looked at to its present end
    attempt: Optional[int] = None


@dataclass(frozen=True)
class PeekRequest:
    """Which file or folder of a running job to show; `attempt`: the one that is meant, absent: whichever runs."""

    path: str = ""  # below the job's directory; empty: what is in it
    offset: int = 0  # of the first byte; negative: so many before the end
    most: int = 64_000  # bytes
    attempt: Optional[int] = None


@dataclass(frozen=True)
class PeekReply:
    """The pilot is asked with its next heartbeat; the answer is at ``/v1/jobs/{job}/peeks/{attempt}/{peek}``."""

    job: int
    attempt: int
    peek: int


@dataclass(frozen=True)
class PeekView:
    """What the pilot found."""

    ready: bool  # false: it has not answered yet, ask again
    path: str = ""
    folder: bool = False  # then the content is a line for each entry: size, time of change, name
    size: int = 0  # bytes of the file, or entries of the folder
    offset: int = 0  # of the first byte of the content
    content: bytes = b""  # in base64
    problem: str = ""  # a sentence: why there is nothing to show
