"""What is printed: tables and lines for people, one JSON document for programs.

On a terminal tables have colours and fit its width; into a pipe or a file they are plain and whole. Results go to
standard output, everything else to standard error. Characters that would steer a terminal are shown, not sent.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

#: Colours of states and outcomes.
STYLES = {
    "waiting": "yellow",
    "held": "magenta",
    "matched": "cyan",
    "running": "bold cyan",
    "completing": "cyan",
    "done": "green",
    "success": "green",
    "ok": "green",
    "failed": "bold red",
    "killed": "red",
    "lost": "bold red",
    "silent": "magenta",
    "draining": "yellow",
    "planned": "dim",
    "submitting": "dim",
    "submitted": "yellow",
    "cancelled": "dim",
}
#: Kinds of characters that move, hide or reorder what a terminal shows; the joiners of scripts and emoji are none.
_STEERING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_HARMLESS = frozenset("\n\t\u200c\u200d")


def visible(text: str) -> str:
    """A text of somebody else's with every character seen: ``\\x1b`` instead of an escape. Lines stay lines."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return char not in _HARMLESS and unicodedata.category(char) in _STEERING


def _escaped(char: str) -> str:
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@dataclass(frozen=True)
class Table:
    """Rows under headings. `right`: the columns of figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()


@dataclass(frozen=True)
class Screen:
    """Where a command prints. `json`: for programs."""

    json: bool = False
    out: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))

    def data(self, value: object) -> None:
        """A record, as one JSON document."""
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
        sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """A line of the result."""
        self.out.print(Text(visible(text)))

    def note(self, text: str) -> None:
        """A remark beside the result."""
        self.err.print(Text(visible(text)))

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names with values; those without a value are left out."""
        known = [(name, value) for name, value in pairs if value]
        width = max((len(name) for name, _ in known), default=0)
        for name, value in known:
            lines = visible(value).split("\n")
            self.out.print(Text.assemble((f"{visible(name):<{width}}  ", "bold"), _styled(lines[0])))
            for line in lines[1:]:
                self.line(" " * (width + 2) + line)

    def table(self, table: Table) -> None:
        """A table; nothing when it has no rows."""
        if not table.rows:
            return
        if self.out.is_terminal:
            self.out.print(_rich(table), soft_wrap=False)
        else:
            for line in plain(table):
                self.line(line)


def plain(table: Table) -> list[str]:
    """A table as aligned lines."""
    rows = [list(table.columns), *([_one_line(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(table.columns))]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if column in table.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return lines


def _rich(table: Table) -> RichTable:
    made = RichTable(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(table.columns):
        last = number == len(table.columns) - 1
        made.add_column(column, justify="right" if column in table.right else "left", no_wrap=not last, overflow="fold")
    for row in table.rows:
        made.add_row(*(_styled(_one_line(cell)) for cell in row))
    return made


def _one_line(cell: str) -> str:
    return " ".join(visible(cell).split())


def _styled(cell: str) -> Text:
    return Text(cell, style=STYLES.get(cell.split(",", maxsplit=1)[0], ""))
