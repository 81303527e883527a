"""Moments as people type them: ``7d`` ago, a date, a date with a time of day."""

from __future__ import annotations

import datetime

from pilot import units
from pilot.errors import InvalidInput

HOUR, DAY = 3600, 86400


def moment(text: str, now: float) -> float:
    """Seconds since the epoch; a duration is so long before `now`, a date is in local time. Raises `InvalidInput`."""
    try:
        if "-" in text[1:]:
            return datetime.datetime.fromisoformat(text).astimezone().timestamp()
        return now - units.duration(text, "")
    except (InvalidInput, ValueError, OverflowError, OSError) as error:
        raise InvalidInput(
            "", f"expected a time like 7d (ago), 2026-11-01 or 2026-11-01T08:00, got {text!r}"
        ) from error


def beginning(moment: float, span: float) -> float:
    """The begin of the day in local time, or of the hour, in which a moment lies, for spans of whole days or hours."""
    if span % DAY == 0:
        day = datetime.datetime.fromtimestamp(moment).astimezone()
        return day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    return moment - moment % HOUR if span % HOUR == 0 else moment
