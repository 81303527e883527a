"""The audit as the store gives it: questions about its lines, and its chain, with what the leader links next."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pilot.audit import BEGINNING, AuditLine, AuditLink, AuditStart, Digest

#: A digest in a column: the id of the line, and the SHA-256.
_PACKED = struct.Struct(">q32s")


@dataclass(frozen=True)
class AuditQuery:
    """Which lines: all that fit every field given. `community` None: of all, and what is the operators' alone."""

    community: str | None = None
    since: float | None = None
    until: float | None = None
    who: str | None = None
    what: str | None = None  # also ``queue`` for all that begin with ``queue.``
    owner: str | None = None
    subject: str | None = None
    job: int | None = None
    before: int | None = None  # lines with lower ids


@dataclass(frozen=True)
class Unlinked:
    """What is to be linked next: lines in order, all of them that there will ever be up to the last."""

    last: AuditLink | None  # the newest link
    start: AuditStart | None
    lines: tuple[AuditLine, ...]


@dataclass(frozen=True)
class StoredLink:
    """A link, and the lines that are there from the end of the one before to its own."""

    link: AuditLink
    lines: tuple[AuditLine, ...]


@dataclass(frozen=True)
class StoredChain:
    """A part of the chain, in order."""

    start: AuditStart | None
    links: tuple[StoredLink, ...]
    unlinked: tuple[AuditLine, ...]  # after the newest link; only where that is in this part
    more: bool


def following(last: AuditLink | None, start: AuditStart | None) -> tuple[int, str]:
    """The number of the next link, and the hash that it follows."""
    if last:
        return last.number + 1, last.hash
    return (start.through + 1, start.hash) if start else (1, BEGINNING)


def packed(digests: Iterable[Digest]) -> bytes:
    """Digests as a column keeps them."""
    return b"".join(_PACKED.pack(one.id, bytes.fromhex(one.sha256)) for one in digests)


def unpacked(column: bytes) -> tuple[Digest, ...]:
    """Digests out of a column; bytes that are too many for whole ones are none of ours, and the hash will not fit."""
    whole = len(column) - len(column) % _PACKED.size
    return tuple(Digest(id, sha256.hex()) for id, sha256 in _PACKED.iter_unpack(column[:whole]))
