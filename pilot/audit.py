"""What the audit is: its lines, the links that chain them, and how both are hashed.

A link covers the lines with ids in (end of the link before, its own end]. Its hash is over the hash of the link before
and a digest of each line, so that whoever knows one hash can tell whether anything before it was changed; its seal is
an HMAC of that hash under a key that the database does not have. docs/audit.md says how to compute both by hand.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Optional

#: What the first link follows.
BEGINNING = "0" * 64


@dataclass(frozen=True)
class AuditLine:
    """Who did what, or was refused it. Times are the database's, seconds since the epoch."""

    id: int
    time: float
    who: str  # a user, ``pilot STAMP``, ``director QUEUE``, ``central``; of strangers the address
    what: str  # ``queue.pause``; ``refused``
    community: str  # whose matter it is; empty: the operators' alone
    owner: str  # of the subject, where it has one
    subject: str  # a name, a stamp, a method and a path
    job: Optional[int] = None
    attempt: Optional[int] = None
    detail: str = ""


@dataclass(frozen=True)
class Digest:
    """What a link holds of one line."""

    id: int
    sha256: str


@dataclass(frozen=True)
class AuditLink:
    """One link of the chain. `first` and `last` are ids of lines; hashes are 64 hex digits."""

    number: int  # from 1 on
    first: int
    last: int
    time: float
    previous: str
    hash: str
    key_id: str
    seal: str
    digests: tuple[Digest, ...] = field(repr=False)

    @property
    def count(self) -> int:
        """Of its lines."""
        return len(self.digests)


@dataclass(frozen=True)
class AuditStart:
    """Where the audit starts that is kept: what was before was let go of, by the central."""

    through: int  # the last link that is gone
    hash: str  # of that link
    last: int  # the last line that is gone
    time: float
    key_id: str
    seal: str


@dataclass(frozen=True)
class AuditPage:
    """`GET /v1/audit`: lines, the newest first."""

    lines: tuple[AuditLine, ...]
    next: Optional[int] = None  # lines before this id are on the next page


@dataclass(frozen=True)
class LinkedLines:
    """A link, what the central says of its seal (good, bad, unknown: its key is gone), and the lines it covers."""

    link: AuditLink
    sealed: str
    lines: tuple[AuditLine, ...]


@dataclass(frozen=True)
class AuditChain:
    """`GET /v1/audit/chain`: links in order, and where there are no more, lines that no link covers yet."""

    start: Optional[AuditStart]
    start_sealed: str  # as of a link; empty: nothing was let go of
    links: tuple[LinkedLines, ...]
    unlinked: tuple[AuditLine, ...]
    more: bool = False


def digest(line: AuditLine) -> Digest:
    """What a link will hold of a line."""
    fields = (line.id, float(line.time), line.who, line.what, line.community, line.owner, line.subject)
    return Digest(line.id, _sha256([*fields, line.job, line.attempt, line.detail]))


def link_hash(link: AuditLink) -> str:
    """What the hash of a link must be, by all that it says."""
    digests = [[one.id, one.sha256] for one in link.digests]
    return _sha256([link.number, link.first, link.last, float(link.time), link.previous, digests])


def start_hash(start: AuditStart) -> str:
    """What the seal of a start is over."""
    return _sha256(["start", start.through, start.hash, start.last, float(start.time)])


def seal(key: bytes, hash: str) -> str:
    """The seal of a hash under a key."""
    return hmac.new(key, hash.encode("ascii"), hashlib.sha256).hexdigest()


def _sha256(values: list[object]) -> str:
    """Of JSON without spaces, ASCII alone, numbers as Python writes them."""
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
