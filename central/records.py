"""What the store keeps and hands out: frozen rows, and what the verbs of the store take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pilot.protocol import Fact, InputFile, JobSpec, Ledger, Needs, Offer, Usage
from pilot.states import JobState, Phase, PilotReason, PilotState
from pilot.views import VerbResult


@dataclass(frozen=True)
class Identity:
    """Who asks: a person's token as declared in the settings. Every row that a person makes carries these."""

    user: str
    community: str
    group: str
    role: str  # member, group-admin, community-admin, operator, site-admin
    site: str = ""  # of a site-admin, who has neither community nor group


@dataclass(frozen=True)
class TaskQueue:
    """All waiting jobs of one owner and group with equal needs."""

    id: int
    community: str
    group: str
    owner: str
    needs: Needs


@dataclass(frozen=True)
class Waiting:
    """How many jobs wait in a queue, by priority, and the lowest job id among them."""

    queue: TaskQueue
    counts: Mapping[int, int]  # priority → jobs
    oldest: int


@dataclass(frozen=True)
class NewJobs:
    """One document to be stored: a template and its members (parameters, and inputs where these differ)."""

    spec: JobSpec  # with placeholders, inputs included only when all members share them
    members: Sequence[tuple[Mapping[str, str], tuple[InputFile, ...] | None]]


@dataclass(frozen=True)
class Submitted:
    """Ids of each document's jobs, and what was added to which queue. `again`: an Idempotency-Key seen before."""

    first_ids: tuple[tuple[int, int], ...]  # (first id, count)
    added: tuple[Waiting, ...]
    again: bool = False


@dataclass(frozen=True)
class Pick:
    """So many jobs out of one queue, with the cores that each is granted, please."""

    queue: int
    count: int
    cores: int
    limits: tuple[str, ...] = ()  # names of the limits that such attempts count against
    without: tuple[str, ...] = ()  # names of credentials: a job that names one of them is passed over


@dataclass(frozen=True)
class Limit:
    """At most so many attempts, or cores of attempts, at the same time, of all that every field given names."""

    name: str
    attempts: int | None = None  # the most; None: not limited so
    cores: int | None = None
    site: str | None = None
    queue: str | None = None  # the door into the site, as the settings name it
    community: str | None = None
    group: str | None = None
    owner: str | None = None
    tag: str | None = None  # one that the job demands


@dataclass(frozen=True)
class LimitUse:
    """How full a limit is."""

    limit: Limit
    attempts: int  # out now
    cores: int


@dataclass(frozen=True)
class Leased:
    """One job claimed for a pilot."""

    job: int
    attempt: int
    queue: int
    priority: int
    cores: int
    spec: JobSpec  # filled in
    community: str
    group: str
    owner: str
    checkpoint: tuple[InputFile, ...] = ()  # what the last attempt that saved something has saved


@dataclass(frozen=True)
class Claim:
    """The answer to a claim: what was won. `reason` when the pilot itself may not have any."""

    leases: tuple[Leased, ...]
    # "draining", "banned" (alarm, revoked, not enrolled), "suspect": its machine fails jobs, so that it is given none
    # now, or fewer than were picked, "bound": it serves another community alone than that of some picks, "superseded":
    # nothing of what that number was given is held any more. What it was not given waits still.
    reason: str | None = None
    limited: tuple[str, ...] = ()  # limits for which less was given than was picked; the jobs wait still


@dataclass(frozen=True)
class Requeued:
    """A job that went back to its queue: the matcher counts it again."""

    queue: int
    job: int
    priority: int


@dataclass(frozen=True)
class Ended:
    """What a report, a kill, a sweep or a goodbye did to one job."""

    job: int
    attempt: int
    state: JobState
    requeued: Requeued | None = None


@dataclass(frozen=True)
class Tariff:
    """What the machine of a pilot costs."""

    hour: float
    currency: str
    period: int = 0  # seconds that it is paid by, begun ones as whole ones; 0: by the second
    machine: bool = True  # paid from when it was asked for; else from when its pilot enrolled


@dataclass(frozen=True)
class NewPilot:
    """A director's intent, written down before anything is submitted."""

    stamp: str
    site: str
    queue: str
    communities: tuple[str, ...]
    secret_hash: str  # hex SHA-256
    secret_ttl: float  # seconds
    lease: int  # seconds that a lease lasts without a word of the pilot
    end_of_life: float | None  # seconds; None: no end
    tariff: Tariff | None = None  # None: nobody has put a price to it


@dataclass(frozen=True)
class PilotRow:
    """A pilot as stored."""

    stamp: str
    state: PilotState
    site: str
    queue: str
    communities: tuple[str, ...]
    created: float
    secret_hash: str
    secret_expires: float
    lease: int
    ends: float | None  # end of life, by the database's clock
    key_hash: str | None  # hex SHA-256 of the session key
    instance: str
    epoch: int
    sequence: int  # of the last heartbeat
    enrolled: float | None
    last_seen: float | None
    ended: float | None
    reason: PilotReason | None
    message: str
    exit_code: int | None
    reference: str
    alarm: str
    offer: Offer | None  # the last one made
    facts: tuple[Fact, ...]
    leases: int = 0  # how many it was ever given
    host: str = ""  # the machine, as its fact `host` says; empty until it is known
    suspect: Suspicion | None = None  # its machine fails jobs fast
    draining: bool = False  # it takes no new jobs; where it has not enrolled: it never will
    bound: str = ""  # the community that it serves alone since its first job; empty: none yet, or all of its own


@dataclass(frozen=True)
class Suspicion:
    """A machine on which jobs failed fast, one after another: it gets one job at a time, until one succeeds."""

    failures: int  # jobs, in a row
    since: float  # when the first of them failed
    suspected: float  # since when the machine is suspect
    next: float  # no job before this time: later after each that fails
    trying: bool  # a job is out there now, to see whether the machine is well again


@dataclass(frozen=True)
class Pause:
    """A queue that gets no pilots, or a site of which no queue does, because somebody said so."""

    queue: str  # empty: every queue of `site`
    who: str
    reason: str
    since: float
    until: float | None = None  # None: until somebody ends it
    site: str = ""  # that is banned; empty: one queue is paused

    def __str__(self) -> str:
        what = f"banned with its site {self.site}" if self.site else "paused"
        end = "" if self.until is None else f" until {moment(self.until)}"
        return f"{what} by {self.who}{end}" + (f": {self.reason}" if self.reason else "")

    def stops(self, queue: str, site: str) -> bool:
        """Whether that queue of that site gets no pilots."""
        return self.site == site if self.site else self.queue == queue


def moment(seconds: float) -> str:
    """Seconds since the epoch for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class Beat:
    """What one heartbeat or match request leaves behind; written in batches."""

    stamp: str
    seen: float
    sequence: int | None = None
    offer: Offer | None = None
    facts: tuple[Fact, ...] = ()
    usage: Mapping[tuple[int, int], Usage] = field(default_factory=dict)  # (job, attempt) → usage
    epoch: int | None = None  # that `sequence` belongs to, so that one from before a resume is not taken for a new one
    ledger: Ledger | None = None  # of that epoch


@dataclass(frozen=True)
class OrderRow:
    id: int
    stamp: str
    epoch: int
    verb: str
    job: int | None
    attempt: int | None
    argument: str
    reason: str
    who: str
    created: float
    received: float | None
    done: float | None
    result: str


@dataclass(frozen=True)
class LiveAttempt:
    """An attempt that is out on a pilot: what a job token opens."""

    job: int
    attempt: int
    stamp: str
    community: str
    phase: Phase
    request: int
    agent: int
    cores: int


@dataclass(frozen=True)
class Swept:
    """What a sweep of silent pilots found."""

    silent: tuple[str, ...]  # stamps that are shown as silent now
    ended: tuple[Ended, ...]  # attempts whose lease ran out


@dataclass(frozen=True)
class Changed:
    """What a verb of people did: a result a job, and what it means for the matcher and the pilots."""

    results: tuple[VerbResult, ...]
    added: tuple[Waiting, ...] = ()  # to queues: released, rescheduled, new priority
    removed: tuple[Requeued, ...] = ()  # from queues: killed or held while waiting, old priority
    ordered: tuple[str, ...] = ()  # stamps of pilots for which an order was written


@dataclass(frozen=True)
class Consumed:
    """What one owner has used by now: `used` core-seconds, each halved for every half-life since it was used, of what
    ended and of what runs; and the `cores` that run now."""

    community: str
    group: str
    owner: str
    used: float
    cores: int


@dataclass(frozen=True)
class CredentialRow:
    """A secret of a job's owner as it is kept. All that stands beside `sealed` is authenticated with it."""

    community: str
    owner: str
    name: str
    kind: str
    urls: tuple[str, ...]
    expires: float | None  # None: it does not
    key_id: str  # of the key that it was sealed with
    sealed: bytes = field(repr=False)
    changed: float = 0.0  # the store says when


@dataclass(frozen=True)
class Note:
    """A line for the audit: who did what with whose secret, or was refused it. The store adds the time."""

    who: str  # a user, or ``pilot STAMP``
    what: str  # set, removed, delivered, refused, signed
    community: str
    owner: str
    subject: str  # name of the credential
    job: int | None = None
    attempt: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Noted:
    """A line of the audit."""

    time: float
    note: Note


@dataclass(frozen=True)
class Bought:
    """A pilot whose machine was paid. `begun` and `ended` in seconds since the epoch; None: it lives."""

    stamp: str
    site: str
    queue: str
    begun: float
    ended: float | None
    tariff: Tariff
    booked: Mapping[str, tuple[int, int]]  # community → core-microseconds in all, and in payloads that succeeded


#: What usage may be told apart by, besides time.
USAGE_KEYS = ("community", "group", "owner", "site")
#: What waste may be told apart by.
WASTE_KEYS = ("site", "queue", "community", "pilot")
#: What costs may be told apart by: days are those of UTC.
COST_KEYS = ("community", "site", "queue", "day", "pilot")


@dataclass(frozen=True)
class BundleRow:
    """A bundle that a community has published. The store says when."""

    community: str
    name: str
    sha256: str
    size: int  # bytes
    manifest: str  # JSON
    who: str
    created: float = 0.0


@dataclass(frozen=True)
class PinRow:
    """From that time on this bundle was in use under its name."""

    community: str
    name: str
    sha256: str
    who: str
    created: float
