"""What people and programs read of queues and sites, and say to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from pilot.protocol import VERSION


@dataclass(frozen=True)
class PauseView:
    """Who said that a queue gets no pilots, why, and since when (seconds since the epoch)."""

    who: str
    reason: str
    since: float
    until: Optional[float] = None  # None: until somebody ends it
    site: str = ""  # it is for all queues of that site


@dataclass(frozen=True)
class QueueView:
    """A configured queue: what it offers, what it has, what the director last decided and why.

    One that was added and cannot be used has neither site nor kind nor slots, but a problem.
    """

    name: str
    site: str
    kind: str
    slots: int
    pilots: dict[str, int]  # state → number
    demand: int = 0  # waiting jobs that its offer would match
    decision: str = ""
    paused: Optional[PauseView] = None
    instead_of: Optional[PauseView] = None  # in the reply to a pause: the one whose place it took
    flavor: str = ""  # of a cloud: its pilots are machines of that
    problem: str = ""  # why what an operator added under this name is not used


@dataclass(frozen=True)
class PauseQueueRequest:
    """`POST /v1/queues/{name}/pause`: no pilots are sent there from now on."""

    reason: str
    seconds: Optional[float] = None  # for so long; None: until it is resumed
    version: int = VERSION


@dataclass(frozen=True)
class ResumeQueueRequest:
    """`POST /v1/queues/{name}/resume`."""

    version: int = VERSION


@dataclass(frozen=True)
class QueuePage:
    """`GET /v1/queues`."""

    queues: tuple[QueueView, ...]


@dataclass(frozen=True)
class PilotsWait:
    """How many pilots wait at a computing element, and what it says of them, in its own words."""

    pilots: int
    words: str


@dataclass(frozen=True)
class QueueExplanation:
    """`GET /v1/queues/{name}/explain`: why its director sends pilots, or none. Times in seconds since the epoch."""

    queue: QueueView
    cause: str = ""  # of the decision, in one word; empty: not decided yet
    looked: Optional[float] = None  # when it was decided
    since: Optional[float] = None  # since when the cause is the same
    until: Optional[float] = None  # when a queue that is shut is tried again, with a single pilot
    waits: tuple[PilotsWait, ...] = ()


@dataclass(frozen=True)
class BanSiteRequest:
    """`POST /v1/sites/{name}/ban`: no pilots are sent to any of its queues from now on."""

    reason: str
    seconds: Optional[float] = None  # for so long; None: until it is lifted
    version: int = VERSION


@dataclass(frozen=True)
class UnbanSiteRequest:
    """`POST /v1/sites/{name}/unban`."""

    version: int = VERSION


@dataclass(frozen=True)
class SiteView:
    """A site and its queues."""

    name: str
    queues: tuple[str, ...] = ()
    banned: Optional[PauseView] = None


@dataclass(frozen=True)
class SitePage:
    """`GET /v1/sites`."""

    sites: tuple[SiteView, ...]
