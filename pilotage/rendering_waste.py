"""Where the time of pilots went, as a table, a sentence and a picture."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pilot.states import Cause
from pilot.use import WastePage, WasteRow
from pilotage import words
from pilotage.plot import Bar, Kind, stacked
from pilotage.rounding import core_hours, percentages
from pilotage.screen import Table

#: The columns of the short table: causes that belong together.
GROUPS = {
    "GOOD": (Cause.GOOD,),
    "OPEN": (Cause.PAYLOAD,),
    "FAILED": (Cause.FAILED,),
    "LOST": (Cause.LOST, Cause.VANISHED),
    "PREEMPTED": (Cause.PREEMPTED,),
    "FILES": (Cause.IMAGE, Cause.STAGE_IN, Cause.STAGE_OUT),
    "IDLE": (Cause.NO_MATCH, Cause.FRAGMENTS, Cause.DRAIN),
    "START": (Cause.BOOT, Cause.VALIDATE),
}
#: From what was good to what was not, in colours that also those tell apart who see few.
KINDS = {
    Cause.GOOD: Kind("payload good", "#1b7837"),
    Cause.PAYLOAD: Kind("payload open", "#7fbf7b", light=True),
    Cause.FAILED: Kind("payload failed", "#e08214"),
    Cause.LOST: Kind("payload lost", "#b2182b"),
    Cause.PREEMPTED: Kind("preempted", "#762a83"),
    Cause.STAGE_IN: Kind("stage in", "#2166ac"),
    Cause.IMAGE: Kind("image", "#4393c3", light=True),
    Cause.STAGE_OUT: Kind("stage out", "#053061"),
    Cause.NO_MATCH: Kind("idle, no match", "#d9d9d9", light=True),
    Cause.FRAGMENTS: Kind("idle, fragments", "#bdbdbd", light=True),
    Cause.DRAIN: Kind("idle, drain", "#8c8c8c"),
    Cause.BOOT: Kind("boot", "#fee391", light=True),
    Cause.VALIDATE: Kind("validate", "#fec44f", light=True),
    Cause.VANISHED: Kind("vanished", "#4d4d4d"),
}
NOBODYS = "(shared)"
#: Bars of one picture; more could not be read.
MOST_BARS = 12


def waste_table(page: WastePage) -> Table:
    """A row for each combination of keys, with the share of each group of causes."""
    groups = {name: causes for name, causes in GROUPS.items() if name != "OPEN" or _amount(page.rows, causes)}
    hours, _ = core_hours([_whole([row]) for row in page.rows])
    rows = [
        (
            *_labels(page, row),
            f"{row.pilots:,}",
            amount,
            *percentages([_amount([row], causes) for causes in groups.values()]),
        )
        for row, amount in zip(page.rows, hours, strict=True)
    ]
    figures = ("PILOTS", "CORE-HOURS", *groups)
    return Table((*(key.upper() for key in page.by), *figures), rows, right=figures)


def causes_table(page: WastePage) -> Table:
    """A row for each combination of keys and each cause."""
    cells = [(row, cause, part) for row in page.rows for cause, part in _causes(row)]
    hours, _ = core_hours([_amount([row], (cause,)) for row, cause, _ in cells])
    rows = [
        (*_labels(page, row), cause.value, amount, part)
        for (row, cause, part), amount in zip(cells, hours, strict=True)
    ]
    figures = ("CORE-HOURS", "PART")
    return Table((*(key.upper() for key in page.by), "CAUSE", *figures), rows, right=figures)


def _causes(row: WasteRow) -> list[tuple[Cause, str]]:
    """The causes that something went to, each with its part of the row."""
    causes = [cause for cause in KINDS if _amount([row], (cause,))]
    return list(zip(causes, percentages([_amount([row], (cause,)) for cause in causes]), strict=True))


def waste_total(page: WastePage) -> str:
    """All rows in a sentence."""
    if not page.rows:
        return f"no pilot has told of its time{_time(page)}"
    good = _amount(page.rows, GROUPS["GOOD"])
    part = percentages([good, _whole(page.rows) - good])[0]
    return f"{_total(page)} core-hours, {part} of them in payloads that succeeded; of pilots that ended{_time(page)}"


def waste_picture(page: WastePage) -> str:
    """The same as SVG: a bar for each row, the largest first."""
    if not page.rows:
        return stacked("There is nothing to show", waste_total(page), [], [])
    largest = sorted(page.rows, key=lambda row: -_whole([row]))
    drawn = [(" · ".join(_labels(page, row)), [row]) for row in largest[:MOST_BARS]]
    if len(largest) > MOST_BARS:
        drawn[-1:] = [("all others", largest[MOST_BARS - 1 :])]
    hours, total = core_hours([_whole(rows) for _, rows in drawn])
    bars = [
        Bar(label, [_amount(rows, (cause,)) for cause in KINDS], f"{amount} h")
        for (label, rows), amount in zip(drawn, hours, strict=True)
    ]
    by = f", by {' and '.join(page.by)}" if page.by else ""
    return stacked(f"Where {total} core-hours went", f"Pilots that ended{_time(page)}{by}", list(KINDS.values()), bars)


def _total(page: WastePage) -> str:
    return core_hours([_whole(page.rows)])[1]


def _time(page: WastePage) -> str:
    if page.until is None:
        return f" since {_moment(page.since)}, or live now"
    return f" from {_moment(page.since)} to {_moment(page.until)}"


def _moment(then: float) -> str:
    """``19 November 2026, 18:33``, of the beginning of a day the date alone; in local time."""
    local = time.localtime(then)
    clock = "" if (local.tm_hour, local.tm_min) == (0, 0) else time.strftime(", %H:%M", local)
    return f"{local.tm_mday} {time.strftime('%B %Y', local)}{clock}"


def _labels(page: WastePage, row: WasteRow) -> tuple[str, ...]:
    keys = zip(page.by, row.keys, strict=True)
    return tuple(words.stamp(key) if by == "pilot" else key or NOBODYS for by, key in keys)


def _amount(rows: Iterable[WasteRow], causes: Iterable[Cause]) -> float:
    """Core-seconds."""
    names = [cause.value for cause in causes]
    return sum(row.booked.get(name, 0) for row in rows for name in names) / 1_000_000


def _whole(rows: Iterable[WasteRow]) -> float:
    return sum(sum(row.booked.values()) for row in rows) / 1_000_000
