"""What monitor and agent say to each other over their socket pair: every message, once.

The agent asks and tells; the monitor answers each question (a record with an `id`) with one `Answer`, and passes on
what the central or the machine wants. The first message is the monitor's `Hello`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from pilot import codec
from pilot.config import Config
from pilot.errors import InvalidInput
from pilot.ledger import Happened
from pilot.protocol import (
    AttemptId,
    AttemptReport,
    Credential,
    Fact,
    LeaseReport,
    MatchReply,
    Offer,
    Settings,
    StepReport,
)
from pilot.states import PilotReason

# -- from the monitor -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """What the agent works with. No secret is in it."""

    config: Config
    settings: Settings
    epoch: int
    agent: int = 1  # which of them it is
    life: int = 1  # of the pilot's monitors, which this is


@dataclass(frozen=True)
class Answer:
    """To the question of that id: done, or a match's reply, or the problem as a sentence."""

    id: int
    match: Optional[MatchReply] = None
    problem: str = ""


@dataclass(frozen=True)
class Kill:
    job: int
    attempt: int
    reason: str


@dataclass(frozen=True)
class Show:
    """Somebody may see something of an attempt's directory; `argument` is a `protocol.Peek` as JSON."""

    job: int
    attempt: int
    order: int
    argument: str


@dataclass(frozen=True)
class Renewed:
    """Credentials of an attempt that its owner has set anew, in the place of those of the same names."""

    job: int
    attempt: int
    credentials: tuple[Credential, ...]


@dataclass(frozen=True)
class Gone:
    job: int
    attempt: int


@dataclass(frozen=True)
class Drain:
    reason: PilotReason
    message: str


@dataclass(frozen=True)
class Stop:
    reason: PilotReason
    message: str
    grace: float  # seconds that payloads have
    files: float = 0.0  # seconds after that for checkpoints


@dataclass(frozen=True)
class Lifetime:
    """The pilot has no more time than this, whatever was thought before. From either side: whoever finds it out."""

    seconds: int  # the margin taken off


@dataclass(frozen=True)
class Beside:
    """Whether other agents of the pilot run payloads: then the machine has work, whatever this one has."""

    busy: bool


# -- from the agent ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AskMatch:
    id: int
    offer: Offer
    most: int
    wait: float  # seconds


@dataclass(frozen=True)
class Got:
    """The answer to this match request has arrived: its leases are held from now on."""

    number: int


@dataclass(frozen=True)
class Report:
    id: int
    job: int
    attempt: int
    report: AttemptReport


@dataclass(frozen=True)
class Release:
    id: int
    leases: tuple[AttemptId, ...]
    why: str


@dataclass(frozen=True)
class Step:
    id: int
    report: StepReport


@dataclass(frozen=True)
class Progress:
    leases: tuple[LeaseReport, ...]


@dataclass(frozen=True)
class Facts:
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Stream:
    name: str
    path: Path


@dataclass(frozen=True)
class CloseStream:
    name: str


@dataclass(frozen=True)
class Tick:
    """The agent's main loop turns."""


@dataclass(frozen=True)
class Finished:
    """The agent ends in good order: nothing runs any more."""

    reason: PilotReason
    message: str = ""


FromMonitor = Union[Hello, Answer, Kill, Show, Renewed, Gone, Drain, Stop, Lifetime, Beside]
FromAgent = Union[
    AskMatch, Got, Report, Release, Step, Progress, Facts, Stream, CloseStream, Tick, Happened, Lifetime, Finished
]  # fmt: skip
Message = Union[FromMonitor, FromAgent]

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Hello, Answer, Kill, Show, Renewed, Gone, Drain, Stop, Lifetime, Beside,
        AskMatch, Got, Report, Release, Step, Progress, Facts, Stream, CloseStream, Tick, Happened, Finished,
    )
}  # fmt: skip


def pack(message: Message) -> bytes:
    """One message as one line. File names of any bytes survive it."""
    return codec.pack([type(message).__name__, codec.encode(message)]) + b"\n"


def unpack(line: bytes) -> Message:
    """The message on a line. Raises `InvalidInput`."""
    values = codec.parse(line)
    if not isinstance(values, list) or len(values) != 2 or values[0] not in _KINDS:
        raise InvalidInput("", f"expected a message of the link, got {line[:80]!r}")
    message: Message = codec.decode(_KINDS[values[0]], values[1])
    return message
