"""Scratch space: how much is free, and whether one can really write there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from pilot.node.allocation import Allocation, Said, narrowest
from pilot.node.hardware import BY_QUEUE
from pilot.protocol import Amount, Fact

#: Bytes written as a trial: enough to meet a quota or a full disk, not enough to be felt.
TRIAL = 1024 * 1024


def free(path: Path) -> Optional[int]:
    """Bytes that this user can still write below a path, None where nobody can tell."""
    try:
        about = os.statvfs(path)
    except OSError:
        return None
    return about.f_bavail * about.f_frsize


def trial(path: Path) -> str:
    """Why writing there does not work, empty when a megabyte was written, flushed, read and removed."""
    written = os.urandom(4096) * (TRIAL // 4096)
    try:
        with tempfile.NamedTemporaryFile(prefix=".trial-", dir=path) as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            if file.read() != written:
                return f"what was written to {path} came back changed"
    except OSError as error:
        return f"writing to {path} failed: {error.strerror or error}"
    return ""


def disk(path: Path, declared: Amount, allocations: Sequence[Allocation] = ()) -> Fact:
    """The fact `disk`, in bytes: free for all attempts together, proved by writing; less where less was given."""
    problem = trial(path)
    if problem:
        return Fact("disk", None, problem)
    found = free(path)
    if found is None:
        return Fact("disk", None, f"the file system of {path} does not say what is free")
    candidates: list[Said] = [Said(found, f"statvfs of {path}, written to")]
    candidates += [allocation.disk for allocation in allocations if allocation.disk is not None]
    if isinstance(declared, int):
        candidates.append(Said(declared, BY_QUEUE))
    narrow = narrowest(candidates) or candidates[0]
    return Fact("disk", narrow.value, narrow.source)
