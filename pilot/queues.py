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


@dataclass(frozen=True)
class QueueView:
    """A configured queue: what it offers, what it has, what the director last decided and why."""

    name: str
    site: str
    kind: str
    slots: int
    pilots: dict[str, int]  # state → number
    demand: int = 0  # waiting jobs that its offer would match
    decision: str = ""
    paused: Optional[PauseView] = None
    instead_of: Optional[PauseView] = None  # in the reply to a pause: the one whose place it took


@dataclass(frozen=True)
class PauseQueueRequest:
    """`POST /v1/queues/{name}/pause`: no pilots are sent there from now on."""

    reason: str
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
class SiteView:
    """A site and its queues."""

    name: str
    queues: tuple[str, ...] = ()


@dataclass(frozen=True)
class SitePage:
    """`GET /v1/sites`."""

    sites: tuple[SiteView, ...]
