"""`pilot.pyz doctor`: what this computer is fit for as a pilot would find it, and how that was found out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from pilot.bootstrap import Libraries
from pilot.errors import ExitCode
from pilot.node import Declared, Discovery
from pilot.node.machine import this_machine
from pilot.protocol import Fact
from pilot.units import show_size

#: Facts that are bytes.
_SIZES = ("memory", "disk")


def run(libraries: Libraries, work: Path, as_json: bool) -> ExitCode:
    """Print the report."""
    found = Discovery(this_machine(), work, Declared(), time.monotonic()).facts()
    facts = (*found, Fact("psutil", libraries.psutil, libraries.sentence))
    if as_json:
        listed = [{"name": fact.name, "value": fact.value, "source": fact.source} for fact in facts]
        print(json.dumps({"facts": listed}, indent=2))
    else:
        print(table(facts))
    return ExitCode.DONE


def table(facts: Sequence[Fact]) -> str:
    """Names, values and sources, aligned."""
    rows = [(fact.name, show(fact), fact.source) for fact in facts]
    names = max(len(name) for name, _, _ in rows)
    values = min(40, max(len(value) for _, value, _ in rows))
    return "\n".join(f"{name:{names}}  {value:{values}}  {source}".rstrip() for name, value, source in rows)


def show(fact: Fact) -> str:
    """A value for people."""
    if fact.value is None:
        return "unknown"
    if isinstance(fact.value, bool):
        return "yes" if fact.value else "no"
    if fact.name in _SIZES and isinstance(fact.value, int):
        return show_size(fact.value)
    return str(fact.value) or "-"
