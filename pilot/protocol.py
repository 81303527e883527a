"""What crosses the wire between a pilot and the central, version 1: every message, once.

Plain frozen records. JSON in UTF-8; bytes, seconds and counts are integers; an amount that may be unknown is a number,
``"unlimited"`` or absent. Durations cross, never wall-clock times, except `server_time`, which is there to measure an
offset. Receivers ignore fields they do not know. Every message can be sent twice: its number makes the second harmless.

Both sides build on these records: the central decodes into them with a validating decoder, the pilot with
`pilot/codec.py`. `docs/wire.md` says who sends what when.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Literal, Optional, Union

from pilot.states import Cause, Outcome, Phase, PilotReason, PilotState

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
#: Characters of a secret that is kept out of logs: a shorter one would blot out half of every log, and hide nothing.
SHORTEST_SECRET = 6
#: Lines of one credential that are kept out of logs, the longest: each costs time for every byte that is printed.
MAX_SECRETS = 200

#: A number, "unlimited" (declared by somebody), or None: unknown, which satisfies no stated need.
Amount = Union[int, Literal["unlimited"], None]
UNLIMITED: Literal["unlimited"] = "unlimited"


# -- nouns ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Platform:
    """What a program must be built for. In needs, an absent field asks nothing; in offers it is unknown."""

    arch: Optional[str] = None  # as uname says: x86_64, aarch64
    microarch: Optional[int] = None  # x86-64 level 1 to 4; in needs, the least
    glibc: Optional[tuple[int, int]] = None  # in needs, the least
    os: Optional[str] = None  # ID and VERSION_ID of os-release, as "debian 12"; only in offers


@dataclass(frozen=True)
class Needs:
    """What a job requires. Jobs of one owner and group with equal needs share a task queue."""

    cores: int = 1  # the least
    max_cores: int = 1  # the most that it can use
    whole_node: bool = False
    memory: int = 0  # bytes, whatever the cores
    memory_per_core: int = 0  # bytes
    disk: int = 0  # bytes
    gpus: int = 0
    gpu_memory: int = 0  # bytes, of each GPU
    wall_time: int = 86400  # seconds
    tags: str = ""  # a boolean expression in canonical form, see pilot/tags.py
    sites: Optional[tuple[str, ...]] = None  # None: anywhere. Never empty
    not_sites: tuple[str, ...] = ()
    platform: Platform = Platform()
    isolation: bool = False  # only where the pilot proved it


@dataclass(frozen=True)
class Gpu:
    """One GPU that an offer has free."""

    model: str
    memory: Optional[int] = None  # bytes
    capability: Optional[str] = None  # as "8.0"


@dataclass(frozen=True)
class Offer:
    """What an agent has free now."""

    site: str
    queue: str
    cores: int = 0
    memory: Amount = None  # bytes
    disk: Amount = None  # bytes
    gpus: tuple[Gpu, ...] = ()
    seconds_left: Amount = None
    power: Optional[float] = None  # benchmark units per core
    platform: Platform = Platform()
    tags: tuple[str, ...] = ()
    unknown_tags: tuple[str, ...] = ()  # the probe failed: neither the tag nor its negation holds
    required_tags: tuple[str, ...] = ()  # a job must name all of these to be let in
    communities: tuple[str, ...] = ()
    owners: Optional[tuple[str, ...]] = None  # whose jobs the site lets in; None: anybody's
    isolation: bool = False  # proved on this node
    empty: bool = True  # nothing else runs here: a whole-node job may start


@dataclass(frozen=True)
class InputFile:
    """A file that travels to the job's directory, stored under its digest."""

    name: str  # relative path in the job's directory
    sha256: str
    size: int  # bytes
    executable: bool = False


@dataclass(frozen=True)
class UrlInput:
    """A file that the pilot fetches from a storage. What is known of its content is verified."""

    name: str  # relative path in the job's directory
    url: str
    sha256: str = ""  # hex digits; empty: not known
    adler32: str = ""  # likewise
    size: Optional[int] = None  # bytes
    executable: bool = False


@dataclass(frozen=True)
class OutputRule:
    """What to bring home: a glob in the job's directory, and where to, in order. No destination: the sandbox store."""

    pattern: str
    to: tuple[str, ...] = ()
    optional: bool = False  # a plain name, which need not be there; a glob may always find nothing


@dataclass(frozen=True)
class StopSignal:
    """A signal that a job wants before its wall time is over: sent once, to those of its processes that it names."""

    before: int  # seconds before the end
    signal: str = "SIGUSR1"
    program: str = ""  # a glob over names of programs; empty: the process that its command started


@dataclass(frozen=True)
class JobSpec:
    """A job as the pilot runs it: nothing left to fill in."""

    command: tuple[str, ...]
    needs: Needs = Needs()
    name: str = ""
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputRule, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    container: Optional[str] = None
    retries: int = 0
    priority: int = 5  # 0 (only when idle) to 10
    checkpoint: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    grace: int = 10  # seconds between the request to stop and the kill
    cpu_time: int = 0  # seconds that all its processes may use together; 0: what its cores give in its wall time
    no_progress: int = 7200  # seconds without CPU time and without any file changed, after which it is ended; 0: never
    stop_signal: Optional[StopSignal] = None
    urls: tuple[UrlInput, ...] = ()  # inputs that do not come from the central


@dataclass(frozen=True)
class Credential:
    """A secret of a job's owner, on its way to one attempt. It is gone from the node when the attempt has ended."""

    name: str
    kind: Literal["text", "bearer", "basic", "s3"] = "text"
    # text: text; bearer: token; basic: user, password; s3: none, the central signs what is asked of it
    values: dict[str, str] = field(default_factory=dict, repr=False)
    urls: tuple[str, ...] = ()  # the pilot itself uses it for what lies below these
    seconds_left: Optional[int] = None  # of its own validity, where the owner said how long

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of it must not be read in a log: each line by itself, and how a header has user and password."""
        found = [line.strip() for name, value in self.values.items() if name != "user" for line in value.splitlines()]
        if self.kind == "basic":
            pair = f"{self.values.get('user', '')}:{self.values.get('password', '')}"
            found.append(b64encode(pair.encode("utf-8", "surrogateescape")).decode())
        telling = {line for line in found if len(line) >= SHORTEST_SECRET}
        return tuple(sorted(telling, key=len, reverse=True)[:MAX_SECRETS])


@dataclass(frozen=True)
class Lease:
    """The right to one attempt. `seconds` is how long it lasts from now unless a heartbeat renews it."""

    job: int
    attempt: int
    seconds: int
    spec: JobSpec
    job_token: str = field(repr=False)
    cores: int  # granted: between the job's least and most
    community: str = ""
    owner: str = ""
    group: str = ""
    credentials: tuple[Credential, ...] = ()
    checkpoint: tuple[InputFile, ...] = ()  # what an earlier attempt saved, put over the inputs

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything in it that must not be read in a log."""
        return (self.job_token, *(secret for each in self.credentials for secret in each.secrets))


@dataclass(frozen=True)
class Usage:
    """What an attempt has used so far. An absent value could not be measured."""

    wall: float = 0.0  # seconds
    cpu: Optional[float] = None  # seconds
    memory: Optional[int] = None  # bytes now
    memory_peak: Optional[int] = None  # bytes
    disk: Optional[int] = None  # bytes in its directory
    waits_for: Optional[str] = None  # a transfer that failed and is tried again, and why: a sentence


@dataclass(frozen=True)
class OutputFile:
    """A file that was brought home, or was to be. `where` is empty when nobody has it yet."""

    name: str
    size: int
    sha256: str
    where: tuple[str, ...] = ()  # "sandbox" or URLs
    adler32: str = ""  # 8 hex digits, where it went to other storages than the central's


@dataclass(frozen=True)
class Fact:
    """Something found out about the node: a value, and where it comes from. A value of None is unknown."""

    name: str
    value: Union[str, int, float, bool, None]
    source: str


# -- enrolment --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EnrolRequest:
    """`POST /v1/pilots/{stamp}/enrol`: trade the one-time secret for a token. Same secret, same key, same answer."""

    secret: str
    session_key: str  # base64 of 32 bytes made on the node
    pilot_version: str
    version: int = VERSION
    instance: str = ""  # boot id or cloud instance id of the machine
    restarts: int = 0  # how often the computing element started this submission before
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """Commands of a community: a zip archive of Python modules, named by its digest."""

    name: str
    sha256: str
    urls: tuple[str, ...]  # absolute, or a path at whichever central answers
    size: int = 0  # bytes
    community: str = ""


@dataclass(frozen=True)
class Step:
    """A command of a pipeline, with what was configured for it. ``module:attribute`` is of a bundle."""

    command: str
    options: dict[str, str] = field(default_factory=dict)
    timeout: Optional[int] = None  # seconds; None: the command's own


@dataclass(frozen=True)
class Settings:
    """How this pilot is to behave. Seconds and bytes."""

    communities: tuple[str, ...] = ()
    pipeline: tuple[Step, ...] = ()  # empty: the standard one
    bundles: tuple[Bundle, ...] = ()
    lease: int = 600
    beat: float = 60.0
    idle: int = 300  # ends after so long without any job
    match_wait: int = 30  # how long a match request may be held
    end_of_life: Amount = UNLIMITED  # seconds from now
    log_bound: int = 10 * 1024 * 1024  # bytes kept of one stream: head and tail
    log_interval: float = 3.0  # between pushes of a stream that nobody follows
    spool_bound: int = 1024 * 1024 * 1024
    min_disk: int = 100 * 1024 * 1024  # free, or the node is not fit
    default_disk: int = 10_000_000_000  # most that an attempt may write that asks for no disk
    max_processes: int = 4096  # of one attempt, threads included where the kernel counts; 0: as many as it likes
    margin: int = 30  # kept back of the remaining lifetime, once
    notice: int = 0  # between a signal of the batch system and its kill; 0: nobody knows
    isolation: str = "none"
    containers: str = "allowed"  # or required (every payload runs in one), refused
    image: str = ""  # for jobs that name none, where containers are required
    job_images: bool = True  # whether a job may bring or name another
    bind: tuple[str, ...] = ()  # [?]/source[:/target[:ro|rw]]; ?: may be missing
    image_cache: str = ""  # where images are kept, for all pilots of the node or site; empty: each pilot for itself
    image_cache_size: int = 20_000_000_000


@dataclass(frozen=True)
class EnrolReply:
    """The pilot is known now. Also the answer to `resume`."""

    epoch: int
    token: str
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
    token: str
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
    usage: Usage = Usage()


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
    token: Optional[str] = None
    token_life: int = 0
    server_time: float = 0.0
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
    usage: Usage = Usage()
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
