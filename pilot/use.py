"""What people read of use: what was used, what communities, groups and owners are due, and how full limits are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class UsageRow:
    """What attempts that ended in one span of time used together; what still runs is not in it."""

    start: float  # of the span
    keys: tuple[str, ...]  # a value for each of `by`
    attempts: int
    succeeded: int
    core_seconds: float  # cores granted × wall time
    cpu_seconds: float  # as far as it was measured
    memory_peak: int  # bytes, the largest of one attempt
    lost_core_seconds: float  # of the core-seconds, those of attempts that did not succeed


@dataclass(frozen=True)
class UsagePage:
    """`GET /v1/usage`: what was used in a time, by community, group, owner or site. Ordered by time, then by keys."""

    since: float
    until: float
    by: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    span: Optional[float] = None  # seconds of one span; None: all of the time is one


@dataclass(frozen=True)
class WasteRow:
    """Where the time of some pilots' cores went."""

    keys: tuple[str, ...]  # a value for each of `by`
    pilots: int
    booked: dict[str, int]  # cause (of `pilot.states.Cause`) → core-microseconds


@dataclass(frozen=True)
class WastePage:
    """`GET /v1/waste`: where the time of pilots went that ended in [since, until), by site, queue, community or pilot.

    Without an `until` those that live now are among them, by what they last said. An empty community: of nobody's job,
    on pilots that are for several communities.
    """

    since: float
    until: Optional[float]
    by: tuple[str, ...]
    rows: tuple[WasteRow, ...]


@dataclass(frozen=True)
class CostRow:
    """What the machines of some pilots cost together, in one currency."""

    keys: tuple[str, ...]  # a value for each of `by`
    currency: str
    pilots: int
    seconds: float  # for which machines were paid
    cost: float
    good: float  # of the cost, what went into payloads that succeeded


@dataclass(frozen=True)
class CostPage:
    """`GET /v1/cost`: what machines cost in [since, until), by community, site, queue, day (of UTC) or pilot.

    Of what lives the cost until now counts. An empty community: of nobody's job, on pilots that are for several
    communities. `unpriced`: pilots that ran in that time and that nobody has put a price to.
    """

    since: float
    until: float
    by: tuple[str, ...]
    rows: tuple[CostRow, ...]
    unpriced: int = 0


@dataclass(frozen=True)
class ShareView:
    """What a community, a group of it (`group`) or an owner of that (`owner`) is due, and what it has used."""

    community: str
    group: str = ""
    owner: str = ""
    share: float = 1.0  # beside the others of the same level, as the settings say
    due: float = 0.0  # the part of everything that this makes, among those that are listed; 0 to 1
    used: float = 0.0  # core-seconds, each halved for every half-life since; what runs is in it
    part: float = 0.0  # of all that everybody has used so; 0 to 1
    cores: int = 0  # that run now


@dataclass(frozen=True)
class SharePage:
    """`GET /v1/shares`: communities, each before its groups, and each group before its owners."""

    half_life: float  # seconds
    shares: tuple[ShareView, ...]


@dataclass(frozen=True)
class LimitView:
    """At most so much at the same time of all that fits each field given, and how much there is now."""

    name: str
    attempts: Optional[int] = None  # the most; None: not limited so
    cores: Optional[int] = None
    site: Optional[str] = None
    queue: Optional[str] = None
    community: Optional[str] = None
    group: Optional[str] = None
    owner: Optional[str] = None
    tag: Optional[str] = None  # one that the job demands
    attempts_now: int = 0
    cores_now: int = 0
    problem: str = ""  # why it counts nowhere now


@dataclass(frozen=True)
class LimitPage:
    """`GET /v1/limits`."""

    limits: tuple[LimitView, ...]
