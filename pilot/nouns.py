"""The nouns of the field, once: what a job needs, what a node offers, what an attempt is given, uses and leaves behind,
and how a pilot is to behave.

Plain frozen records, which messages, tables and decisions are made of. Bytes, seconds and counts are integers; what may
be unknown is an amount.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Literal, Optional, Union

#: Characters of a secret that is kept out of logs: a shorter one would blot out half of every log, and hide nothing.
SHORTEST_SECRET = 6
#: Lines of one credential that are kept out of logs, the longest: each costs time for every byte that is printed.
MAX_SECRETS = 200

#: A number, "unlimited" (declared by somebody), or None: unknown, which satisfies no stated need.
Amount = Union[int, Literal["unlimited"], None]
UNLIMITED: Literal["unlimited"] = "unlimited"


# -- jobs and nodes ---------------------------------------------------------------------------------------------------


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
    version: str = ""  # another one each time it is set; it tells nothing of what it holds

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
class CredentialVersions:
    """Of an attempt's credentials: name → version."""

    job: int
    attempt: int
    versions: dict[str, str] = field(default_factory=dict)


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


# -- pilots -----------------------------------------------------------------------------------------------------------


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
    isolation: str = "community"  # who may share an account; the central sees to it: community, none, required
    containers: str = "allowed"  # or required (every payload runs in one), refused
    image: str = ""  # for jobs that name none, where containers are required
    job_images: bool = True  # whether a job may bring or name another
    bind: tuple[str, ...] = ()  # [?]/source[:/target[:ro|rw]]; ?: may be missing
    image_cache: str = ""  # where images are kept, for all pilots of the node or site; empty: each pilot for itself
    image_cache_size: int = 20_000_000_000
