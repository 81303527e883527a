"""What operators have added while the central runs: sites, queues, and tokens for pilots that nobody submits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlaceRow:
    """One version of a site or a queue that an operator has added while the central runs."""

    kind: str  # site, queue
    name: str
    version: int  # from 1 on
    text: str  # TOML, as it was written; empty: it was removed
    who: str
    created: float
    note: str = ""


@dataclass(frozen=True)
class NewEnrolment:
    """A token by which pilots that nobody submitted may enrol. The token itself is kept nowhere."""

    hash: str  # hex SHA-256
    site: str
    queue: str
    communities: tuple[str, ...]
    pilots: int  # the most that it lets in
    seconds: float  # for which it is good
    who: str


@dataclass(frozen=True)
class EnrolmentRow:
    """Such a token as stored, and what has come of it."""

    id: int
    site: str
    queue: str
    communities: tuple[str, ...]
    pilots: int
    used: int
    who: str
    created: float
    expires: float
    revoked: float | None  # None: it was not
    revoked_by: str
    refused: int  # pilots that came with it when it was not good any more
    alarm: str  # the last of them
