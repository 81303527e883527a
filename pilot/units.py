"""Amounts as people write them, turned into integers once, at submission: bytes and seconds.

Sizes: ``500 MB``, ``2 GiB``, ``2 GB + 500 MB per core``; GB = 10^9 bytes, GiB = 2^30. Durations: ``4h``, ``1h30m``,
``90 min``, ``2d``, ``01:30:00``. A bare number is bytes or seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Union

from pilot.errors import InvalidInput

_BYTES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _BYTES[f"{_letter}b"] = 1000**_power
    _BYTES[f"{_letter}ib"] = 1024**_power
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

#: A petabyte and more than a year: beyond these somebody mistook a unit.
MAX_BYTES = 10**15
MAX_SECONDS = 400 * 86400
#: Longer texts are no amount.
MAX_LENGTH = 200

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)(?P<per_core>\s*(?:/|per)\s*core)?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d))?")
_PART = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Size:
    """Bytes that an attempt needs, whatever its cores, and for each of them."""

    fixed: int = 0
    per_core: int = 0


def size(value: Union[str, float], where: str) -> Size:
    """Read a size. Raises `InvalidInput`."""
    if isinstance(value, (int, float)):
        return Size(fixed=_bounded(value, MAX_BYTES, "bytes", where))
    fixed = per_core = 0.0
    for term in _short(value).split("+"):
        found = _SIZE.fullmatch(term.strip())
        if not found or found["unit"].lower() not in _BYTES:
            raise InvalidInput(
                where, f"expected a size like 500 MB, 2 GiB or 2 GB + 500 MB per core, got {_short(value)!r}"
            )
        amount = float(found["number"]) * _BYTES[found["unit"].lower()]
        if found["per_core"]:
            per_core += amount
        else:
            fixed += amount
    return Size(_bounded(fixed, MAX_BYTES, "bytes", where), _bounded(per_core, MAX_BYTES, "bytes", where))


def bytes_of(value: Union[str, float], where: str) -> int:
    """Read a size that is the same whatever the cores. Raises `InvalidInput`."""
    found = size(value, where)
    if found.per_core:
        raise InvalidInput(where, f"expected a size that is the same whatever the cores, got {value!r}")
    return found.fixed


def duration(value: Union[str, float], where: str) -> int:
    """Read a duration as seconds. Raises `InvalidInput`."""
    if isinstance(value, (int, float)):
        return _bounded(value, MAX_SECONDS, "seconds", where)
    text = _short(value).strip()
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return _bounded(((days * 24 + hours) * 60 + minutes) * 60 + seconds, MAX_SECONDS, "seconds", where)
    total = 0.0
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if not part or part["unit"].lower() not in _SECONDS:
            break
        total += float(part["number"]) * _SECONDS[part["unit"].lower()]
        at = part.end()
    if not text or at < len(text):
        raise InvalidInput(where, f"expected a duration like 90s, 30 min, 1h30m, 2d or 01:30:00, got {_short(value)!r}")
    return _bounded(total, MAX_SECONDS, "seconds", where)


def _short(text: str) -> str:
    """The text, or its beginning when it is too long for an amount: with a sign behind it that no amount has."""
    return text if len(text) <= MAX_LENGTH else f"{text[:60]}…"


def _bounded(value: float, most: int, unit: str, where: str) -> int:
    if not 0 <= value <= most:  # also refuses NaN
        shown = f"{value}" if abs(value) < 1e20 else "far more" if value > 0 else "far less"
        raise InvalidInput(where, f"expected 0 to {most} {unit}, got {shown}")
    return int(value)


def show_size(amount: float) -> str:
    """Bytes for people: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def show_duration(seconds: float) -> str:
    """Seconds for people: ``1h 30m``."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 and seconds != whole else f"{whole}s"
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    return " ".join([f"{number}{unit}" for number, unit in parts if number][:2])
