"""Use, shares and limits as tables."""

from __future__ import annotations

import time

from pilot.units import show_duration
from pilot.use import LimitView, SharePage, UsagePage, UsageRow
from pilotage import words
from pilotage.moments import DAY
from pilotage.screen import Table

_FIGURES = ("ATTEMPTS", "SUCCEEDED", "CORE-HOURS", "CPU", "LOST", "PEAK MEMORY")


def usage_table(page: UsagePage) -> Table:
    """A row for each span and each combination of keys."""
    first = ("FROM",) if page.span else ()
    rows = [
        (
            *((_begin(row.start, page.span),) if page.span else ()),
            *row.keys,
            f"{row.attempts:,}",
            f"{row.succeeded:,}",
            core_hours(row.core_seconds),
            percent(row.cpu_seconds, row.core_seconds),
            percent(row.lost_core_seconds, row.core_seconds),
            words.size(row.memory_peak) if row.memory_peak else "",
        )
        for row in page.rows
    ]
    return Table((*first, *(key.upper() for key in page.by), *_FIGURES), rows, right=_FIGURES)


def usage_total(page: UsagePage) -> str:
    """All rows in a sentence."""
    time = f"{words.clock(page.since)} to {words.clock(page.until)}"
    if not page.rows:
        return f"no attempt ended from {time}"
    whole = _sum(page.rows)
    return (
        f"{words.plural(whole.attempts, 'attempt')}, {core_hours(whole.core_seconds)} core-hours,"
        f" {percent(whole.cpu_seconds, whole.core_seconds)} of them CPU time,"
        f" {percent(whole.lost_core_seconds, whole.core_seconds)} lost; from {time}"
    )


def _sum(rows: tuple[UsageRow, ...]) -> UsageRow:
    return UsageRow(
        rows[0].start,
        (),
        sum(row.attempts for row in rows),
        sum(row.succeeded for row in rows),
        sum(row.core_seconds for row in rows),
        sum(row.cpu_seconds for row in rows),
        max(row.memory_peak for row in rows),
        sum(row.lost_core_seconds for row in rows),
    )


def _begin(start: float, span: float | None) -> str:
    """When a span begins: its date alone where spans are of whole days."""
    whole_days = span is not None and span % DAY == 0
    return time.strftime("%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M", time.localtime(start))


def shares_table(page: SharePage) -> Table:
    """A row for each community, group and owner."""
    rows = [
        (
            view.community,
            view.group,
            view.owner,
            "" if view.owner else f"{view.share:g}",
            percent(view.due, 1.0),
            core_hours(view.used),
            percent(view.part, 1.0),
            str(view.cores),
        )
        for view in page.shares
    ]
    figures = ("SHARE", "DUE", "USED CORE-HOURS", "PART", "CORES NOW")
    return Table(("COMMUNITY", "GROUP", "OWNER", *figures), rows, right=figures)


def shares_note(page: SharePage) -> str:
    return f"what was used {show_duration(page.half_life)} ago counts half"


def limits_table(limits: tuple[LimitView, ...]) -> Table:
    """A row for each limit."""
    rows = [
        (
            view.name,
            _subject(view),
            _full(view.attempts_now, view.attempts),
            _full(view.cores_now, view.cores),
            view.problem or ("full" if is_full(view) else ""),
        )
        for view in limits
    ]
    return Table(("LIMIT", "OF", "ATTEMPTS", "CORES", "NOTE"), rows, right=("ATTEMPTS", "CORES"))


def is_full(view: LimitView) -> bool:
    """Whether it lets nothing in."""
    pairs = ((view.attempts_now, view.attempts), (view.cores_now, view.cores))
    return any(most is not None and now >= most for now, most in pairs)


def _subject(view: LimitView) -> str:
    named = ("community", "group", "owner", "site", "queue", "tag")
    return ", ".join(f"{name} {value}" for name in named if (value := getattr(view, name))) or "everything"


def _full(now: int, most: int | None) -> str:
    return f"{now:,}" if most is None else f"{now:,} of {most:,}"


def core_hours(core_seconds: float) -> str:
    """``1,234``, of less than a hundred ``12.3``, and of next to nothing ``0.012``."""
    hours = core_seconds / 3600
    if hours >= 100:
        return f"{hours:,.0f}"
    if hours >= 0.05 or not hours:
        return f"{hours:.1f}"
    return f"{hours:.3f}" if hours >= 0.0005 else "<0.001"


def percent(part: float, whole: float) -> str:
    """``87 %``; empty where there is nothing to be a part of."""
    if not whole:
        return ""
    found = 100 * part / whole
    return f"{found:.0f} %" if found >= 10 or found in (0, 100) else f"{found:.1f} %"
