"""Codes of errors as facts, and the catalogue as tables and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilot.catalogue import CATALOGUE, CLASSES, BackOff, Entry, entry
from pilot.codes import PilotCode
from pilot.errors import REFUSALS
from pilotage.screen import Table

_BACK_OFF = {
    BackOff.NONE: "go on",
    BackOff.SLOW: "wait, longer after each",
    BackOff.LONG: "wait long from the first on",
}
_PAGE = """\
# Errors

Every attempt that did not succeed and every pilot that has ended has a code: a class and a word. `pilotage job`,
`pilotage pilot` and `pilotage explain` show it with what to do; `pilotage errors CODE` explains one; the API has it in
the field `code`. This page is made by `pilotage errors --page > docs/errors.md`.

## Classes

{classes}

## Attempts

{attempts}

## Pilots

What a director makes of a pilot that ended so without having had a job is in the last column; a pilot that had one
opens its queue again.

{pilots}

## Refusals

What the central says no with, to pilots and people: the field `type` of a problem. `pilot/errors.py` has the list,
`docs/wire.md` who is to do what.

{refusals}
"""


def code_facts(code: str) -> list[tuple[str, str]]:
    """What a code means and what to do, as names and values; nothing for one that is not known here."""
    found = entry(code)
    if found is None:
        return [("error", code)]
    return [("error", f"{code}: {found.means}"), ("to do", f"{found.todo} ({found.who.value})")]


def refusal_facts(name: str) -> list[tuple[str, str]]:
    """What a refusal of the central means and what to do, as names and values."""
    kind = REFUSALS[name]
    return [("refusal", f"{name}: {kind.title}."), ("to do", f"{_sentence(kind.action)}.")]


def errors_table(entries: Iterable[Entry]) -> Table:
    """A row for each line of the catalogue."""
    rows = [(found.code.value, found.who.value, found.means, found.todo) for found in entries]
    return Table(("CODE", "WHO", "MEANS", "TO DO"), rows)


def errors_page() -> str:
    """docs/errors.md."""
    pilots = [found for found in CATALOGUE.values() if isinstance(found.code, PilotCode)]
    attempts = [found for found in CATALOGUE.values() if not isinstance(found.code, PilotCode)]
    columns = ("code", "what it means", "what to do", "who")
    return _PAGE.format(
        classes=_table(("class", "what it is about"), [(f"`{name}`", about) for name, about in CLASSES.items()]),
        attempts=_table(columns, [_row(found) for found in attempts]),
        pilots=_table((*columns, "directors"), [(*_row(found), _back_off(found)) for found in pilots]),
        refusals=_table(
            ("type", "what it means", "what to do"),
            [(f"`{name}`", f"{kind.title}.", f"{_sentence(kind.action)}.") for name, kind in REFUSALS.items()],
        ),
    )


def _row(found: Entry) -> tuple[str, ...]:
    return f"`{found.code.value}`", found.means, found.todo, found.who.value


def _back_off(found: Entry) -> str:
    return _BACK_OFF[found.back_off] if found.back_off else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
