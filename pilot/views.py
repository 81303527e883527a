"""What people and programs send to the central and read from it: jobs, attempts, pilots, queues, explanations.

Times here are seconds since the epoch by the central's clock; a reader turns them into local time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Optional

from pilot.protocol import VERSION, Needs, OutputFile, OutputRule, StopSignal, UrlInput, Usage
from pilot.states import JobState, OrderVerb, Outcome, Phase, PilotReason, PilotState


@dataclass(frozen=True)
class SubmitRequest:
    """`POST /v1/jobs`: documents as `pilot/jobfile.py` reads them, each with the digests of its inputs in `files`."""

    jobs: tuple[dict[str, Any], ...]
    version: int = VERSION


@dataclass(frozen=True)
class JobRange:
    """The jobs that one document became: ids `first` to `first + count - 1`."""

    first: int
    count: int


@dataclass(frozen=True)
class SubmitReply:
    jobs: tuple[JobRange, ...]
    warnings: tuple[str, ...] = ()  # as: no configured queue can ever satisfy jobs[0]
    version: int = VERSION


@dataclass(frozen=True)
class JobView:
    """A job as its owner sees it."""

    id: int
    name: str
    state: JobState
    community: str
    group: str
    owner: str
    priority: int
    attempt: int  # the current one; 0 before the first
    submitted: float
    changed: float
    # How its last attempt ended: absent while another is out.
    outcome: Optional[Outcome] = None
    exit_code: Optional[int] = None
    reason: str = ""  # a sentence: why it failed, is held, went back to the queue
    site: str = ""
    pilot: str = ""  # stamp
    parent: Optional[int] = None  # the job that this one is a reschedule of
    parameters: dict[str, str] = field(default_factory=dict)
    task_queue: int = 0  # jobs of one owner and group with equal needs have the same


@dataclass(frozen=True)
class JobDetail:
    """One job whole: what was submitted, as it is run."""

    job: JobView
    command: tuple[str, ...]
    needs: Needs
    retries: int
    retries_used: int
    blameless_ends: int
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    container: Optional[str] = None
    checkpoint: tuple[str, ...] = ()  # patterns of what is saved when it is preempted
    grace: Optional[int] = None  # seconds between the request to stop and the kill
    cpu_time: Optional[int] = None  # seconds; 0: what its cores give in its wall time
    no_progress: Optional[int] = None  # seconds; 0: it may stand still for ever
    stop_signal: Optional[StopSignal] = None
    credentials: tuple[str, ...] = ()  # names
    urls: tuple[UrlInput, ...] = ()  # inputs that the pilot fetches; of a URL that has a query, without it
    output_rules: tuple[OutputRule, ...] = ()  # `outputs`, each with its destinations


@dataclass(frozen=True)
class JobPage:
    jobs: tuple[JobView, ...]
    next: Optional[str] = None  # cursor of the next page
    counts: dict[str, int] = field(default_factory=dict)  # state → number, of the whole selection, when asked for


@dataclass(frozen=True)
class Event:
    """A change in the life of an attempt."""

    time: float
    phase: Phase
    message: str = ""


@dataclass(frozen=True)
class AttemptView:
    job: int
    attempt: int
    pilot: str
    site: str
    phase: Phase
    cores: int
    started: float
    ended: Optional[float] = None
    outcome: Optional[Outcome] = None
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    limit: Optional[str] = None
    message: str = ""
    tail: str = ""
    usage: Usage = Usage()
    outputs: tuple[OutputFile, ...] = ()
    undelivered: tuple[str, ...] = ()
    checkpoint: tuple[OutputFile, ...] = ()
    log_sizes: dict[str, int] = field(default_factory=dict)
    history: tuple[Event, ...] = ()
    code: str = ""  # of its end, see docs/errors.md; empty where it succeeded or runs


@dataclass(frozen=True)
class AttemptPage:
    """`GET /v1/jobs/{id}/attempts`: all of them, in order."""

    attempts: tuple[AttemptView, ...]


@dataclass(frozen=True)
class JobOutputs:
    """`GET /v1/jobs/{id}/outputs`: what an attempt brought home, and what it could not."""

    attempt: int
    outputs: tuple[OutputFile, ...] = ()
    undelivered: tuple[str, ...] = ()


@dataclass(frozen=True)
class StreamEnd:
    """The data of the event ``end`` of a log that is followed: nothing more will come."""

    size: int  # bytes of the whole stream
    attempt: Optional[int] = None
    outcome: Optional[Outcome] = None


@dataclass(frozen=True)
class Selection:
    """Which jobs a bulk request is about: by ids, or all that fit every field given."""

    ids: tuple[int, ...] = ()
    states: tuple[JobState, ...] = ()
    owner: Optional[str] = None
    group: Optional[str] = None
    name: Optional[str] = None  # as a prefix
    community: Optional[str] = None  # for operators; others mean their own
    # Where it runs or ran last. A job that waits or is held is nowhere.
    site: Optional[str] = None
    queue: Optional[str] = None
    submitted_since: Optional[float] = None  # seconds since the epoch


JobVerb = Literal["kill", "hold", "release", "reschedule", "priority"]


@dataclass(frozen=True)
class VerbRequest:
    """`POST /v1/jobs/{verb}`. `priority` counts for that verb alone; `reason` is kept with what it changes."""

    selection: Selection
    priority: Optional[int] = None
    reason: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class VerbResult:
    """What became of one job: `changed`, with its state now, or why not. A reschedule names the new job."""

    job: int
    changed: bool
    state: Optional[JobState] = None
    problem: str = ""
    new_job: Optional[int] = None


@dataclass(frozen=True)
class VerbReply:
    results: tuple[VerbResult, ...]


@dataclass(frozen=True)
class StepView:
    number: int
    command: str
    outcome: Optional[str]
    seconds: float
    message: str = ""
    tail: str = ""
    began: Optional[float] = None  # seconds after the pilot did


@dataclass(frozen=True)
class MachineView:
    """What a pilot says of the virtual machine that it is on, last. Bytes, seconds; None and empty: unknown."""

    flavor: str = ""  # what the cloud calls machines of this size
    cloud: str = ""  # ec2, openstack, …
    instance: str = ""  # the cloud's name for it
    zone: str = ""  # or region
    load: Optional[float] = None  # processes that want to run, in the mean of a minute
    disk_free: Optional[int] = None  # for the pilot's folder
    uptime: Optional[int] = None  # since it was booted


@dataclass(frozen=True)
class MachineLoad:
    """What a virtual machine had to do at some time (seconds since the epoch)."""

    time: float
    load: float
    jobs: Optional[int] = None
    disk_free: Optional[int] = None  # bytes


#: A community that is not the caller's; no name of one.
ANOTHER = "(another)"


@dataclass(frozen=True)
class PilotView:
    stamp: str
    state: PilotState
    site: str
    queue: str
    communities: tuple[str, ...]
    created: float
    enrolled: Optional[float] = None
    last_seen: Optional[float] = None
    ended: Optional[float] = None
    reason: Optional[PilotReason] = None
    message: str = ""
    exit_code: Optional[int] = None
    reference: str = ""  # its name at the computing element
    epoch: int = 0
    host: str = ""
    cores: int = 0
    running: int = 0  # leases held
    alarm: str = ""  # why it gets no new work until somebody has looked
    code: str = ""  # of its end, see docs/errors.md
    machine: Optional[MachineView] = None  # None: it is on no virtual machine of ours
    bound: str = ""  # the community that it serves alone, or ANOTHER than the caller's; empty: none yet, or all


@dataclass(frozen=True)
class PilotDetail:
    pilot: PilotView
    steps: tuple[StepView, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)  # name → value and source
    leases: tuple[AttemptView, ...] = ()
    streams: dict[str, int] = field(default_factory=dict)  # log stream → bytes
    loads: tuple[MachineLoad, ...] = ()  # of a virtual machine, the oldest first: a bounded number over its life


@dataclass(frozen=True)
class PilotPage:
    pilots: tuple[PilotView, ...]
    next: Optional[str] = None


@dataclass(frozen=True)
class OrderRequest:
    """`POST /v1/pilots/{stamp}/orders`."""

    verb: OrderVerb
    argument: str = ""
    reason: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class OrderReply:
    order: int


@dataclass(frozen=True)
class NeedFailure:
    """A need of a job that some pilots or queues do not meet."""

    #: cores, memory, disk, gpus, wall_time, tags, sites, platform, isolation, community, owner, required_tags,
    #: whole_node; or limit (room under it), machine (one on which jobs do not fail one after another),
    #: reservation (room not kept)
    need: str
    asked: str
    pilots: int  # live pilots that fail it
    queues: int  # configured queues that fail it
    example: str = ""  # the nearest: who offers what
    jobs: int = 0  # where a pilot is explained: waiting jobs whose need it does not meet


@dataclass(frozen=True)
class JobExplanation:
    """Why a job waits: by the same predicates as the match."""

    job: int
    state: JobState
    summary: str  # a sentence or two
    pilots: int = 0  # live pilots that were looked at
    queues: int = 0  # configured queues that were looked at
    fitting_pilots: int = 0
    fitting_queues: int = 0
    failures: tuple[NeedFailure, ...] = ()
    nearest: str = ""  # the fit that lacks least, as a sentence
    ahead: Optional[int] = None  # waiting jobs of its owner before it, of those that compete for a pilot that fits
    no_pilot: tuple[str, ...] = ()  # per fitting queue: why no pilot was sent
    shares: tuple[str, ...] = ()  # what its community, its group and its owner are due, and have used
    code: str = ""  # of a job that is over or held: how its last attempt ended, see docs/errors.md


@dataclass(frozen=True)
class ExplainRequest:
    """`POST /v1/jobs/explain`: about at most `limit` jobs of a selection, the newest first."""

    selection: Selection
    limit: int = 5000
    cursor: Optional[str] = None  # `next` of the reply before
    version: int = VERSION


@dataclass(frozen=True)
class ExplainedJobs:
    """Jobs with one explanation, which names the first of them."""

    jobs: tuple[int, ...]  # in the order in which they would be matched, when they wait
    explanation: JobExplanation


@dataclass(frozen=True)
class ExplainReply:
    """One entry for each reason, those of the most jobs first. `unknown`: ids of no job that one may see."""

    explained: tuple[ExplainedJobs, ...]
    unknown: tuple[int, ...] = ()
    next: Optional[str] = None  # cursor for more of the selection


@dataclass(frozen=True)
class PilotExplanation:
    """Why a pilot got nothing."""

    stamp: str
    state: PilotState
    summary: str
    waiting: int = 0  # jobs that wait, of all communities it serves
    fitting: int = 0  # of these, jobs that would fit what it offers
    failures: tuple[NeedFailure, ...] = ()  # by need: `jobs` that have it, in so many task `queues`
    code: str = ""  # of one that has ended, see docs/errors.md


@dataclass(frozen=True)
class SandboxReply:
    stored: bool  # False: it was there already
    sha256: str
    size: int
    next: int = 0  # when sent in parts: the offset expected next


@dataclass(frozen=True)
class WhoAmI:
    """`GET /v1/whoami`."""

    user: str
    community: str
    group: str
    role: str
    server_version: str = ""
    token: Optional[int] = None  # the number of the token, where it was not central.toml that declares it
    scopes: tuple[str, ...] = ()  # of such a token; one of central.toml has all of them
    expires: Optional[float] = None  # seconds since the epoch
    site: str = ""  # of a site's admin, who has neither community nor group


@dataclass(frozen=True)
class Health:
    """`GET /healthz`."""

    status: str
    version: str
    uptime: float  # seconds
