"""Exports of the audit: parts of the chain, one to a line as JSON, to be kept elsewhere and verified there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from pilot.audit import AuditChain
from pilot.auditing import Anchor, Verdict, Walk
from pilot.errors import PilotageError


def write(path: Path, parts: Iterable[AuditChain]) -> Anchor | None:
    """Write an export, for its owner alone; returns the newest link in it."""
    newest = None
    with open(path, "xb", opener=_private) as file:
        for part in parts:
            file.write(msgspec.json.encode(part) + b"\n")
            for one in part.links:
                newest = Anchor(one.link.number, one.link.hash)
    return newest


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read(path: Path) -> Iterator[AuditChain]:
    """The parts of an export. Raises `PilotageError` that says in which line it is none."""
    decoder = msgspec.json.Decoder(AuditChain)
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                yield decoder.decode(text)
            except msgspec.MsgspecError as error:
                raise PilotageError(f"{path}: line {number} is no part of an exported audit ({error})") from error


def walk(parts: Iterable[AuditChain], anchors: Iterable[Anchor], seals: bool) -> Verdict:
    """Walk a chain. `seals`: whether what it says of seals counts, as it comes from the central itself."""
    found = Walk(tuple(anchors))
    first = True
    for part in parts:
        if first:
            found.begin(part.start, part.start_sealed if seals else "")
            first = False
        for one in part.links:
            found.take(one.link, one.sealed if seals else "", one.lines)
        if not part.more:
            found.tail(part.unlinked, time.time())
    return found.verdict()
