"""Where the time of pilots went, as a table, a sentence and a picture."""

from __future__ import annotations

from collections.abc import Iterable

from pilot.states import Cause
from pilot.use import WastePage, WasteRow
from pilotage import words
from pilotage.plot import Bar, Kind, stacked
from pilotage.rendering_usage import core_hours, percent
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
    rows = [
        (
            *_labels(row),
            f"{row.pilots:,}",
            core_hours(_whole([row])),
            *(percent(_amount([row], causes), _whole([row])) for causes in groups.values()),
        )
        for row in page.rows
    ]
    figures = ("PILOTS", "CORE-HOURS", *groups)
    return Table((*(key.upper() for key in page.by), *figures), rows, right=figures)


def causes_table(page: WastePage) -> Table:
    """A row for each combination of keys and each cause."""
    rows = [
        (*_labels(row), cause.value, core_hours(amount), percent(amount, _whole([row])))
        for row in page.rows
        for cause in KINDS
        if (amount := _amount([row], (cause,)))
    ]
    figures = ("CORE-HOURS", "PART")
    return Table((*(key.upper() for key in page.by), "CAUSE", *figures), rows, right=figures)


def waste_total(page: WastePage) -> str:
    """All rows in a sentence."""
    time = _time(page)
    if not page.rows:
        return f"no pilot has told of its time {time}"
    whole = _whole(page.rows)
    good = percent(_amount(page.rows, GROUPS["GOOD"]), whole)
    return f"{core_hours(whole)} core-hours, {good} of them in payloads that succeeded; of pilots {time}"


def waste_picture(page: WastePage) -> str:
    """The same as SVG: a bar for each row, the largest first."""
    largest = sorted(page.rows, key=lambda row: -_whole([row]))
    bars = [_bar(" · ".join(_labels(row)), [row]) for row in largest[:MOST_BARS]]
    if len(largest) > MOST_BARS:
        bars[-1:] = [_bar("all others", largest[MOST_BARS - 1 :])]
    title = f"Where {core_hours(_whole(page.rows))} core-hours went"
    by = f", by {' and '.join(page.by)}" if page.by else ""
    return stacked(title, f"pilots {_time(page)}{by}", list(KINDS.values()), bars)


def _bar(label: str, rows: list[WasteRow]) -> Bar:
    return Bar(label, [_amount(rows, (cause,)) for cause in KINDS], f"{core_hours(_whole(rows))} h")


def _time(page: WastePage) -> str:
    end = "and those that live" if page.until is None else f"until {words.clock(page.until)}"
    return f"that ended since {words.clock(page.since)} {end}"


def _labels(row: WasteRow) -> tuple[str, ...]:
    return tuple(key or NOBODYS for key in row.keys)


def _amount(rows: Iterable[WasteRow], causes: Iterable[Cause]) -> float:
    """Core-seconds."""
    names = [cause.value for cause in causes]
    return sum(row.booked.get(name, 0) for row in rows for name in names) / 1_000_000


def _whole(rows: Iterable[WasteRow]) -> float:
    return sum(sum(row.booked.values()) for row in rows) / 1_000_000
