"""What the commands of batch systems have in common: durations, sizes and names of hosts, as they write them."""

from __future__ import annotations

import re
from typing import Optional

from pilot.node.machine import whole

# Digits are bounded: Python refuses to read thousands of them, and a float has no room for hundreds.
_CLOCK = re.compile(r"(?:(\d{1,9})-)?(\d{1,9}):(\d{1,2})(?::(\d{1,2}))?")
_DAYS_AND_HOURS = re.compile(r"(\d{1,9})-(\d{1,9})")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([bkmgtp]?)(?:i?b|bytes)?", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def seconds(text: str) -> Optional[int]:
    """Seconds of ``D-HH:MM:SS``, ``D-HH``, ``HH:MM:SS``, ``MM:SS`` or a bare number; None for anything else."""
    word = text.strip()
    bare = whole(word)
    if bare is not None:
        return bare
    days = _DAYS_AND_HOURS.fullmatch(word)
    if days:
        return int(days[1]) * 86400 + int(days[2]) * 3600
    found = _CLOCK.fullmatch(word)
    if not found:
        return None
    if found[4] is None and found[1] is None:
        return int(found[2]) * 60 + int(found[3])
    return ((int(found[1] or 0) * 24 + int(found[2])) * 60 + int(found[3])) * 60 + int(found[4] or 0)


def size(text: str, unit: str = "") -> Optional[int]:
    """Bytes of ``4gb``, ``2000M``, ``1.5 Gbytes``, in powers of 1024; `unit` is that of a bare number."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        return None
    return int(float(found[1]) * 1024 ** _POWERS[(found[2] or unit).lower()])


def same_host(name: str, host: str) -> bool:
    """Whether two names mean one host, with or without its domain."""
    return name == host or name.partition(".")[0] == host.partition(".")[0]


def left(limit: Optional[int], used: float) -> Optional[int]:
    """What is left of a limit, never less than nothing."""
    return None if limit is None else max(0, int(limit - used))
