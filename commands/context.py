"""What a command of the pilot's pipeline sees: a frozen context, and ports for everything outside it.

A command takes a context and returns a context. It reads the machine through `node`, speaks to the central through
`central`, runs payloads through `computing`, and never imports the pilot's own modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional, Protocol, Union

from commands.programs import Programs, Ran
from pilot.errors import PilotageError
from pilot.halting import Halting
from pilot.protocol import (
    Amount,
    AttemptReport,
    Credential,
    Fact,
    Gpu,
    Lease,
    LeaseReport,
    MatchReply,
    Offer,
    Platform,
    Settings,
    StepReport,
)
from pilot.states import PilotReason


class Unfit(PilotageError):
    """The machine is not fit for jobs. Raised by a command; the pilot ends and says why."""


class Clock(Protocol):
    """Time, so that tests can turn it."""

    def now(self) -> float:
        """Seconds of a clock that never steps."""

    def sleep(self, seconds: float) -> None: ...


class Node(Protocol):
    """The machine, as found by probes. Each answer carries its source; what could not be found is None."""

    def facts(self) -> tuple[Fact, ...]:
        """Run every probe (in parallel, each with a time limit)."""

    def free_disk(self, path: Path) -> Optional[int]:
        """Bytes that this user can still write there."""

    def power(self) -> Optional[float]:
        """What one core does, in MB of bzip2 per second; None until it is known."""

    def measure_power(self, tell: Callable[[Fact], None]) -> None:
        """Find out the power beside the work; `tell` is called from another thread once it is known."""


class Orders(Protocol):
    """What the monitor wants of the agent; `Central.orders` hands it the receiver."""

    def kill(self, job: int, attempt: int, reason: str) -> None:
        """End one attempt; report it as killed."""

    def show(self, job: int, attempt: int, order: int, argument: str) -> None:
        """Push what there is of the attempt's directory; `argument` is a `protocol.Peek` as JSON."""

    def renew(self, job: int, attempt: int, credentials: Sequence[Credential]) -> None:
        """The attempt's owner has set these anew: its payload and its transfers use them from now on."""

    def gone(self, job: int, attempt: int) -> None:
        """The lease is lost: stop the payload, keep and report nothing."""

    def drain(self, reason: PilotReason, message: str) -> None:
        """Take no new jobs; end when empty."""

    def stop(self, reason: PilotReason, message: str, grace: float, files: float = 0.0) -> None:
        """End now: preempt what runs (signal, up to `grace` seconds, kill, up to `files` seconds for checkpoints),
        report it, and end."""

    def lifetime(self, seconds: int) -> None:
        """No more time is left than this, the margin taken off: offer no more."""

    def beside(self, busy: bool) -> None:
        """Other agents of the pilot run payloads from now on, or none does any more."""


class Central(Protocol):
    """The central, by way of the monitor (or standalone: one job from a file)."""

    def match(self, offer: Offer, most: int, wait: float) -> MatchReply:
        """Ask for jobs; may block for `wait` seconds and some more. An empty answer when the central is away.

        May be called from another thread while an earlier call waits: the newer request supersedes the older, which
        then returns at once. Leases that the older one got nevertheless are valid.
        """

    def report(self, job: int, attempt: int, report: AttemptReport) -> None:
        """Hand over a report; returns once the monitor has it safely. It delivers in order, for as long as it takes."""

    def release(self, leases: Sequence[Lease], why: str) -> None: ...

    def step(self, report: StepReport) -> None:
        """Say that a command of the pipeline has started or ended."""

    def facts(self, facts: Sequence[Fact]) -> None:
        """Say what was found out about the node."""

    def progress(self, leases: Sequence[LeaseReport]) -> None:
        """What runs now, for the next heartbeat."""

    def stream(self, name: str, path: Path) -> None:
        """Push this file as a log stream from now on, as it grows."""

    def close_stream(self, name: str) -> None:
        """Nothing more will be written to the stream's file; push the rest."""

    def lifetime(self, seconds: int) -> None:
        """Say how long the pilot has, the margin taken off: it will be stopped then."""

    def tick(self) -> None:
        """The pilot's main loop turns. Without it for a minute the monitor takes the agent for hung."""

    def orders(self, receiver: Orders) -> None:
        """From now on, call this receiver (from another thread) when there is an order."""


class Sandboxes(Protocol):
    """Files that travel with a job, by digest. Raises `TransportError` or `Refusal`; tries once."""

    def fetch(self, lease: Lease, sha256: str, size: int, target: Path) -> None:
        """Bring an input to `target`, verified by size and digest."""

    def store(self, lease: Lease, source: Path, sha256: str, size: int) -> None:
        """Bring an output to the sandbox store."""


@dataclass(frozen=True)
class Faults:
    """How many attempts ended by a fault of the node: in a row up to now, and in all."""

    row: int = 0
    total: int = 0


@dataclass(frozen=True)
class GpuDevice:
    """A GPU of this node that attempts may use. What could not be found out is None."""

    index: int  # among all GPUs of the machine, as its driver counts them
    uuid: Optional[str]  # as "GPU-…" or "MIG-…"
    model: str
    memory: Optional[int] = None  # bytes
    capability: Optional[str] = None  # as "8.0"

    @property
    def handle(self) -> str:
        """By what a program is told to use it: its uuid, which stays right whatever else is hidden; else its index."""
        return self.uuid or str(self.index)

    def offered(self) -> Gpu:
        """What an offer says of it."""
        return Gpu(self.model, self.memory, self.capability)


@dataclass(frozen=True)
class Capacity:
    """What attempts may use on this node in all. Decided by the command `configure`, divided by the slots."""

    cores: int
    cpus: tuple[int, ...] = ()  # numbers of the CPUs to bind attempts to, one a core; empty: do not bind
    memory: Amount = None  # bytes
    disk: Amount = None  # bytes
    gpus: tuple[GpuDevice, ...] = ()
    seconds_left: Amount = None  # from now, the margin taken off
    platform: Platform = field(default_factory=Platform)
    tags: tuple[str, ...] = ()
    unknown_tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()
    whole: bool = True  # the node, and not the share of one of several agents
    exposed: bool = False  # what runs here may reach the cloud's metadata service, and what that says of the machine


class Computing(Protocol):
    """The inner computing element with its slots."""

    def open(self, capacity: Capacity, environment: Mapping[str, str]) -> None:
        """From now on attempts may be started, within this capacity and with this environment added to theirs."""

    def offer(self) -> Offer:
        """What is free now."""

    def start(self, lease: Lease) -> None:
        """Begin an attempt in a slot of its own; everything about it is reported from there. Never blocks for long.

        Raises `PilotageError` when there is no room for it: nothing was begun, the lease is to be released.
        """

    def running(self) -> int:
        """How many attempts have not ended yet."""

    def busy_beside(self) -> bool:
        """Whether other agents of the pilot run payloads."""

    def faults(self) -> Faults:
        """How many attempts ended by a fault of the node."""

    def wait(self, seconds: float) -> bool:
        """Wait until something has changed (an attempt ended, an order came), at most so long. Whether it has."""

    def wake(self) -> None:
        """Something else has changed: whoever waits shall look."""

    def stop(self, reason: PilotReason, message: str, grace: float, files: float = 0.0) -> None:
        """Start nothing more, and preempt what runs: signal, up to `grace` seconds, kill, up to `files` seconds for
        checkpoints, report."""

    def stopping(self) -> Optional[tuple[PilotReason, str]]:
        """Why no new job may be started, once that is so."""

    def close(self) -> None:
        """End what is left, and leave nothing behind."""


@dataclass(frozen=True)
class Context:
    """What is known so far, and the ports. Commands return a changed copy."""

    stamp: str
    site: str
    queue: str
    work: Path  # the only place to write to
    settings: Settings
    clock: Clock
    random: Callable[[], float]  # from 0 to 1, for jitter
    node: Node
    central: Central
    computing: Computing
    say: Callable[[str], None]  # a line for the pilot's log
    communities: tuple[str, ...] = ()  # whose jobs this pilot runs
    required_tags: tuple[str, ...] = ()  # what a job must name to be let in
    halting: Halting = field(default_factory=Halting)  # when it ends for want of work
    shielded: bool = False  # it runs nothing unless payloads are proved not to reach the cloud's metadata service
    agent: int = 1  # which of the pilot's agents this is
    agents: int = 1  # how many share the node
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # command → option → value
    facts: tuple[Fact, ...] = ()
    looked_at: Optional[float] = None  # when the facts were found, by the clock; what was left of time then runs out
    environment: dict[str, str] = field(default_factory=dict)  # for payloads: what prepare_software found
    provided: tuple[str, ...] = ()  # what the commands so far have provided
    command: str = ""  # which command runs, by its name in the pipeline
    programs: Optional[Programs] = None  # only for commands that run in a process of their own
    reason: Optional[PilotReason] = None  # why the pilot ends, set by the command that decided it
    message: str = ""

    def evolve(self, **changes: object) -> Context:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def fact(self, name: str) -> object:
        """The value of a fact, None where it is unknown or was not looked for."""
        for fact in self.facts:
            if fact.name == name:
                return fact.value
        return None

    def option(self, name: str, default: str = "") -> str:
        """What the settings say for the command that runs."""
        return self.options.get(self.command, {}).get(name, default)

    def found(self, name: str, value: Union[str, int, float, bool, None], source: str = "") -> Context:
        """A copy that knows one more fact about the node; `source` says how it was found out."""
        others = tuple(fact for fact in self.facts if fact.name != name)
        return replace(self, facts=(*others, Fact(name, value, source or self.command)))

    def tagged(self, *tags: str) -> Context:
        """A copy in which these tags hold: jobs may demand them. A tag that was tried and does not hold: `found`
        with ``tag:NAME`` and False."""
        known = self
        for tag in tags:
            known = known.found(f"tag:{tag}", True)
        return known

    def run(self, *words: str, seconds: Optional[float] = None, environment: Optional[Mapping[str, str]] = None) -> Ran:
        """Run a program, at most so many seconds, with these variables besides; what it prints goes to the step's log.

        Raises `PilotageError` when it cannot be started or is not done in time. Its exit code is for the caller.
        """
        if self.programs is None:
            raise PilotageError("only commands that run in a process of their own may run programs")
        return self.programs.run(words, seconds, environment)
