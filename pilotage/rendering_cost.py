"""What machines cost, as a table and a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pilot.use import CostPage, CostRow
from pilotage import words
from pilotage.rounding import adding_up
from pilotage.screen import Table

_FIGURES = ("PILOTS", "HOURS", "COST", "GOOD")
#: Whose cost it is that is nobody's alone: of pilots that are for several communities.
NOBODYS = "(shared)"


def cost_table(page: CostPage) -> Table:
    """A row for each combination of keys and each currency; amounts add up to the sums that are told."""
    shown = {currency: iter(_amounts(rows)) for currency, rows in _by_currency(page).items()}
    rows = [
        (
            *_labels(page, row),
            f"{row.pilots:,}",
            f"{row.seconds / 3600:,.1f}",
            f"{next(shown[row.currency])} {row.currency}",
            f"{100 * row.good / row.cost:.1f} %" if row.cost else "",
        )
        for row in page.rows
    ]
    return Table((*(key.upper() for key in page.by), *_FIGURES), rows, right=_FIGURES)


def cost_total(page: CostPage) -> str:
    """All rows in a sentence: what was paid, and how much of it was for payloads that succeeded."""
    time = f"{words.clock(page.since)} to {words.clock(page.until)}"
    sums = " and ".join(_sum(currency, rows) for currency, rows in _by_currency(page).items())
    told = f"{sums}; from {time}" if sums else f"no machine with a price was there from {time}"
    if not page.unpriced:
        return told
    return f"{told}; nobody has put a price to {words.plural(page.unpriced, 'pilot')} (see `price` of a queue)"


def _sum(currency: str, rows: Sequence[CostRow]) -> str:
    cost, good = sum(row.cost for row in rows), sum(row.good for row in rows)
    hours = sum(row.seconds for row in rows) / 3600
    part = f", {100 * good / cost:.1f} % of it for payloads that succeeded" if cost else ""
    return f"{_money(cost)} {currency} for {hours:,.1f} machine-hours{part}"


def _by_currency(page: CostPage) -> dict[str, list[CostRow]]:
    found = defaultdict[str, list[CostRow]](list)
    for row in page.rows:
        found[row.currency].append(row)
    return found


def _amounts(rows: Sequence[CostRow]) -> list[str]:
    whole = sum(row.cost for row in rows)
    digits = _digits(whole)
    return [f"{amount:,.{digits}f}" for amount in adding_up([row.cost for row in rows], digits)]


def _money(amount: float) -> str:
    return f"{amount:,.{_digits(amount)}f}"


def _digits(whole: float) -> int:
    """More decimals the less there is: a spot machine costs a tenth of a cent for a job."""
    return 2 if whole >= 1 else 4


def _labels(page: CostPage, row: CostRow) -> tuple[str, ...]:
    keys = zip(page.by, row.keys, strict=True)
    return tuple(words.stamp(key) if by == "pilot" else key or NOBODYS for by, key in keys)
