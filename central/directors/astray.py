"""Machines that nothing is done about, and that a person should know of, since they are paid for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from central.directors.machines import HANGS, SILENT
from central.directors.removals import STUCK
from central.records import PilotRow
from pilot.units import show_duration


def outlived(rows: Iterable[PilotRow], now: float) -> str:
    """A sentence about machines that should have powered off long ago, and whose pilots still call; empty: there are
    none. They may hold leases, so that they are not deleted."""
    late = sorted((row.ends, row.stamp) for row in rows if row.ends is not None and now > row.ends + HANGS)
    if not late:
        return ""
    since = show_duration(int(now - late[0][0]))
    stamps = [stamp for _, stamp in late]
    return f"the machine of {_pilots(stamps)} should have powered off {since} ago, and its pilot still calls"


class Unlisted:
    """Those whose pilots call, and which their cloud does not list: bookkeeping, in memory."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # stamp → when it was first missing

    def look(self, rows: Iterable[PilotRow], listed: Collection[str], now: float) -> str:
        """These live, and those are listed. Returns a sentence about some that are missing for long; empty: none is."""
        missing = [row.stamp for row in rows if row.stamp not in listed and _calls(row, now)]
        self._since = {stamp: self._since.get(stamp, now) for stamp in missing}
        late = sorted(stamp for stamp, first in self._since.items() if now - first > STUCK)
        if not late:
            return ""
        return (
            f"the cloud does not list the machine of {_pilots(late)}, though its pilot calls: if the central's URL, or"
            " the queue's url, region or credential have become others, nobody deletes what was started before"
        )


def _calls(row: PilotRow, now: float) -> bool:
    """Whether one that was started here has been heard of just now."""
    return bool(row.reference) and row.enrolled is not None and now - (row.last_seen or row.enrolled) < SILENT


def _pilots(stamps: Sequence[str]) -> str:
    return f"pilot {stamps[0]}" + (f" and {len(stamps) - 1} others" if len(stamps) > 1 else "")
