"""What operators say and read of sites and queues that they add while the central runs, and of pilots unsent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from pilot.protocol import VERSION

#: Bytes of the text of a queue.
MAX_TEXT = 64 * 1024


@dataclass(frozen=True)
class PlaceVersion:
    """A version of a site or a queue: what an operator wrote, when (seconds since the epoch), and what was done."""

    kind: str  # site, queue
    name: str
    number: int  # from 1 on
    text: str  # TOML; empty: it was removed
    who: str
    created: float
    note: str = ""
    said: str = ""  # in the reply to a change: what the computing element answered


@dataclass(frozen=True)
class PlaceHistory:
    """`GET /v1/queues/{name}/history`: the newest first."""

    versions: tuple[PlaceVersion, ...]


@dataclass(frozen=True)
class QueueDetail:
    """`GET /v1/queues/{name}`: the settings in force of one queue, and where they come from."""

    name: str
    site: str
    kind: str
    settings: dict[str, str]  # those that are not the usual ones, as values of TOML
    added: Optional[PlaceVersion] = None  # None: central.toml declares it
    problem: str = ""  # why what was added is not used


@dataclass(frozen=True)
class AddQueueRequest:
    """`POST /v1/queues`: a queue as in the settings file: its keys alone, or one table ``[[queues]]``."""

    text: str
    force: bool = False  # whatever the computing element says
    version: int = VERSION


@dataclass(frozen=True)
class RestoreQueueRequest:
    """`POST /v1/queues/{name}/restore`: make an older version the newest."""

    number: int
    force: bool = False
    version: int = VERSION


@dataclass(frozen=True)
class AddSiteRequest:
    """`POST /v1/sites`."""

    name: str
    version: int = VERSION


@dataclass(frozen=True)
class CheckReply:
    """`POST /v1/queues/{name}/check`: what the computing element answered."""

    said: str


@dataclass(frozen=True)
class TestQueueRequest:
    """`POST /v1/queues/{name}/test`: send one pilot that takes no jobs."""

    version: int = VERSION


@dataclass(frozen=True)
class CanaryView:
    """How such a pilot stands at the computing element, in its own words."""

    stamp: str
    interval: float  # seconds between two turns of the queue's director
    reference: str = ""
    standing: str = ""  # queued, running, ended, unknown; empty: it does not list it
    why: str = ""
    exit_code: Optional[int] = None
    problem: str = ""  # why the computing element could not be asked


@dataclass(frozen=True)
class OpenEnrolmentRequest:
    """`POST /v1/enrolments`: let pilots that nobody submitted enrol. `seconds`: for how long."""

    queue: str
    pilots: int
    seconds: int
    communities: tuple[str, ...] = ()  # empty: those of the queue
    version: int = VERSION


@dataclass(frozen=True)
class BootstrapView:
    """`GET /v1/queues/{name}/bootstrap`: what a pilot that nobody submits must be told; no secret is in it."""

    urls: tuple[str, ...]  # of pilot.pyz
    sha256: str
    central: tuple[str, ...]  # base URLs
    ca_pem: str
    site: str
    queue: str
    settings: dict[str, Any]  # further keys of pilot.json
    proxy: str = ""
    no_proxy: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnrolmentView:
    """A token for such pilots, without the token. Times are seconds since the epoch."""

    number: int
    site: str
    queue: str
    communities: tuple[str, ...]
    pilots: int  # the most that it lets in
    used: int
    who: str
    created: float
    expires: float
    revoked: Optional[float] = None
    revoked_by: str = ""
    refused: int = 0  # pilots that came when it was not good any more
    alarm: str = ""  # the last of them


@dataclass(frozen=True)
class OpenedEnrolment:
    """The one time that the token is told."""

    token: str = field(repr=False)
    enrolment: EnrolmentView


@dataclass(frozen=True)
class EnrolmentPage:
    """`GET /v1/enrolments`: the newest first."""

    enrolments: tuple[EnrolmentView, ...]
