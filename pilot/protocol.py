"""What crosses the wire between a pilot and the central, version 1: every message, once.

Plain frozen records, made of the nouns of `pilot/nouns.py`. JSON in UTF-8; bytes, seconds and counts are integers; an
amount that may be unknown is a number, ``"unlimited"`` or absent. Durations cross, never wall-clock times, except
`server_time`, which is there to measure an offset. Receivers ignore fields they do not know. Every message can be sent
twice: its number makes the second harmless.

Both sides build on these records: the central decodes into them with a validating decoder, the pilot with
`pilot/codec.py`. `docs/wire.md` says who sends what when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional

from pilot.nouns import (
    MAX_SECRETS,
    SHORTEST_SECRET,
    UNLIMITED,
    Amount,
    Bundle,
    Credential,
    CredentialVersions,
    Fact,
    Gpu,
    InputFile,
    JobSpec,
    Lease,
    Needs,
    Offer,
    OutputFile,
    OutputRule,
    Platform,
    Settings,
    Step,
    StopSignal,
    UrlInput,
    Usage,
)
from pilot.states import Cause, Outcome, Phase, PilotReason, PilotState

#: The nouns that messages are made of, for whoever speaks of both.
__all__ = [
    "MAX_SECRETS",
    "SHORTEST_SECRET",
    "UNLIMITED",
    "Amount",
    "Bundle",
    "Credential",
    "CredentialVersions",
    "Fact",
    "Gpu",
    "InputFile",
    "JobSpec",
    "Lease",
    "Needs",
    "Offer",
    "OutputFile",
    "OutputRule",
    "Platform",
    "Settings",
    "Step",
    "StopSignal",
    "UrlInput",
    "Usage",
]

#: The version spoken here; a central accepts the one before as well.
VERSION = 1
#: The name that opens the Authorization header of each kind of caller.
PILOT_SCHEME, JOB_SCHEME, TICKET_SCHEME, USER_SCHEME = "Pilot", "Job", "Ticket", "Bearer"
#: Bounds on what a pilot may send, in bytes. The refusal `too-large` names them.
MAX_MESSAGE = 4 * 1024 * 1024
MAX_LOG_CHUNK = 1024 * 1024
#: Bytes of a running job's file that are shown at a time.
MAX_PEEK = 1_000_000
MAX_BOOT_LOG = 1024 * 1024
MAX_TAIL = 8 * 1024


# -- enrolment --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EnrolRequest:
    """`POST /v1/pilots/{stamp}/enrol`: trade the one-time secret for a token. Same secret, same key, same answer."""

    secret: str = field(repr=False)
    session_key: str = field(repr=False)  # base64 of 32 bytes made on the node
    pilot_version: str
    version: int = VERSION
    instance: str = ""  # boot id or cloud instance id of the machine
    restarts: int = 0  # how often the computing element started this submission before
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class EnrolReply:
    """The pilot is known now. Also the answer to `resume`."""

    epoch: int
    token: str = field(repr=False)
    token_life: int  # seconds
    server_time: float
    settings: Settings
    version: int = VERSION


@dataclass(frozen=True)
class ResumeRequest:
    """`POST …/resume`: the same pilot after a reboot, or a restart of its monitor. What ran before is a node-fault."""

    epoch: int
    instance: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class RenewRequest:
    """`POST …/renew`: a fresh token, also after the old one's end."""

    epoch: int
    version: int = VERSION


@dataclass(frozen=True)
class RenewReply:
    token: str = field(repr=False)
    token_life: int
    server_time: float
    version: int = VERSION


# -- work -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MatchRequest:
    """`POST …/match`: jobs that fit, please. The same number from the same agent gets the same answer."""

    number: int
    offer: Offer
    agent: int = 1
    most: int = 1
    wait: float = 0.0  # seconds that the central may hold the request
    version: int = VERSION


#: Why a match request got nothing.
NoMatch = Literal["nothing-waits", "nothing-fits", "draining", "banned", "limit", "superseded"]


@dataclass(frozen=True)
class MatchReply:
    number: int
    leases: tuple[Lease, ...] = ()
    reason: Optional[NoMatch] = None
    detail: str = ""  # a sentence; with nothing-fits it names the nearest miss
    retry_after: float = 0.0  # seconds
    least_time: Optional[int] = None  # seconds that the shortest job needs of those that only want for time
    waits: bool = False  # with superseded: jobs wait, and none fitted what the older request offered
    version: int = VERSION


@dataclass(frozen=True)
class LeaseReport:
    """One lease that the pilot holds, and how far it is. Held until the report of its end was accepted."""

    job: int
    attempt: int
    phase: Phase = Phase.MATCHED
    usage: Usage = Usage()  # noqa: RUF009 - it is frozen


@dataclass(frozen=True)
class Acknowledgement:
    """What became of an order: `received` stops its delivery, `done` closes it with a result."""

    order: int
    stage: Literal["received", "done"]
    result: str = ""


@dataclass(frozen=True)
class Spool:
    """What the pilot still has to deliver."""

    reports: int = 0
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Booking:
    """Time of cores that went into one thing."""

    cause: Cause
    amount: int  # core-microseconds
    community: str = ""  # whose attempt it was; empty: of no attempt


@dataclass(frozen=True)
class Ledger:
    """Where the time of a pilot's cores went in this epoch. The law: `cores` × `lifetime` is the sum of all amounts."""

    cores: int = 0
    lifetime: int = 0  # microseconds
    bookings: tuple[Booking, ...] = ()


@dataclass(frozen=True)
class HeartbeatRequest:
    """`POST …/heartbeat`: I am here, I hold these. Leases of answers up to `matched_through` that are not listed go
    back to the queue, uncharged."""

    epoch: int
    sequence: int
    state: PilotState
    matched_through: dict[str, int] = field(default_factory=dict)  # agent number → match request number
    leases: tuple[LeaseReport, ...] = ()
    facts: tuple[Fact, ...] = ()
    spool: Spool = Spool()
    acknowledgements: tuple[Acknowledgement, ...] = ()
    ledger: Optional[Ledger] = None  # as of now, once in a while
    version: int = VERSION


@dataclass(frozen=True)
class LeaseRenewal:
    """How long a lease lasts from now; zero seconds: it is gone, stop the payload and keep nothing."""

    job: int
    attempt: int
    seconds: int


@dataclass(frozen=True)
class Order:
    """What the central asks for. Delivered in every reply until it was received."""

    id: int
    verb: str  # an `OrderVerb`; a newer central may have others, which must not cost the rest of its answer
    epoch: int = 0
    job: Optional[int] = None
    attempt: Optional[int] = None
    argument: str = ""
    reason: str = ""
    who: str = ""


@dataclass(frozen=True)
class Peek:
    """What an owner wants to see of a running attempt: the argument of the order `peek`, as JSON.

    The pilot answers by the stream `attempt_stream(job, attempt, f"peek{order}")`: `Peeked` as one line of JSON, then
    the bytes, or what is in the folder, a line for each entry.
    """

    path: str = ""  # below the job's directory; empty: that directory
    offset: int = 0  # of the first byte; negative: so many before the end
    most: int = 64_000  # bytes


@dataclass(frozen=True)
class Peeked:
    """What was found there."""

    path: str
    folder: bool = False
    size: int = 0  # bytes of the file, or entries of the folder
    offset: int = 0  # of the first byte that follows
    problem: str = ""  # a sentence; then nothing follows


@dataclass(frozen=True)
class HeartbeatReply:
    sequence: int
    leases: tuple[LeaseRenewal, ...] = ()
    orders: tuple[Order, ...] = ()
    next_beat: float = 60.0  # seconds
    followed: tuple[str, ...] = ()  # streams that somebody reads now
    token: Optional[str] = field(default=None, repr=False)
    token_life: int = 0
    server_time: float = 0.0
    credentials: tuple[CredentialVersions, ...] = ()  # set anew lately, of attempts of the pilot: to be asked for
    version: int = VERSION


@dataclass(frozen=True)
class AttemptReport:
    """`POST /v1/attempts/{job}/{attempt}/report`. The fields after `phase` belong to its end."""

    phase: Phase
    outcome: Optional[Outcome] = None
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    limit: Optional[str] = None  # which: wall_time, memory, disk, cores, processes
    message: str = ""  # a sentence for the owner
    usage: Usage = Usage()  # noqa: RUF009 - it is frozen
    outputs: tuple[OutputFile, ...] = ()
    undelivered: tuple[str, ...] = ()
    checkpoint: tuple[OutputFile, ...] = ()  # all that it saved when it was preempted: whole, or nothing of it
    tail: str = ""  # the last lines of its standard error, else of its standard output
    log_sizes: dict[str, int] = field(default_factory=dict)  # stream → bytes it will have when all is pushed
    code: str = ""  # of `pilot.codes.AttemptCode`; empty: what the other fields say
    version: int = VERSION


@dataclass(frozen=True)
class Accepted:
    """The answer to a report, a release, a step and a goodbye."""

    accepted: bool = True
    version: int = VERSION


@dataclass(frozen=True)
class AttemptId:
    job: int
    attempt: int


@dataclass(frozen=True)
class ReleaseRequest:
    """`POST …/release`: leases that were not started and go back to the queue, uncharged."""

    leases: tuple[AttemptId, ...]
    why: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class StepReport:
    """`POST …/steps`: a command of the pipeline has started (no outcome yet) or ended."""

    number: int
    command: str
    outcome: Optional[Literal["ok", "failed", "timeout", "skipped"]] = None
    seconds: float = 0.0
    message: str = ""
    tail: str = ""
    began: Optional[float] = None  # seconds after the pilot did
    version: int = VERSION


@dataclass(frozen=True)
class LogReply:
    """The answer to `PUT /v1/logs/{stamp}/{stream}?offset=N`: what is expected next, and whether somebody reads."""

    next: int
    followed: bool = False
    version: int = VERSION


@dataclass(frozen=True)
class GoodbyeRequest:
    """`POST …/bye`: the pilot ends, and says why. What it still held comes back as node-fault or preempted."""

    reason: PilotReason
    exit_code: int = 0
    message: str = ""
    ledger: Ledger = Ledger()  # of all its life
    version: int = VERSION


@dataclass(frozen=True)
class Problem:
    """`application/problem+json`: a refusal. `type` is a row of `pilot.errors.REFUSALS`."""

    type: str
    title: str = ""
    status: int = 0
    detail: str = ""
    retry_after: Optional[float] = None
    server_time: Optional[float] = None
    expected: Optional[str] = None
    got: Optional[str] = None
    problems: tuple[dict[str, str], ...] = ()  # where, problem
    version: int = VERSION


def attempt_stream(job: int, attempt: int, name: str) -> str:
    """The log stream of an attempt on its pilot; `name` is ``stdout`` or ``stderr``."""
    return f"job-{job}-{attempt}-{name}"
