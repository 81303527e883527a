"""What a pilot does unless it is told otherwise: the standard commands as a table, and what makes an order right.

The central checks pipelines by this table and by the manifests of bundles, without importing any command; the pilot
checks again with the commands themselves before it runs the first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Optional, Protocol

#: Commands of one pipeline at most.
MOST = 100
_OURS = re.compile(r"[a-z][a-z0-9_]{0,99}")
_THEIRS = re.compile(r"[A-Za-z_][\w.]{0,199}:[A-Za-z_]\w{0,99}", re.ASCII)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_MISSING = "no bundle of the community in use has the command"
#: Names that commands need and provide.
THING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class CommandRecord:
    """A command as a pipeline knows it: ours by its name, a bundle's as ``module:attribute``."""

    name: str
    needs: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    timeout: Optional[float] = None  # seconds; None: as long as it takes
    always: bool = False  # runs also after another has failed


class Described(Protocol):
    """Whatever has a place in a pipeline."""

    @property
    def name(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def provides(self) -> tuple[str, ...]: ...


TABLE = (
    CommandRecord("check_node", (), ("checked",), 60),
    CommandRecord("discover", ("checked",), ("node",), 60),
    CommandRecord("prepare_software", ("node",), ("software",), 300),
    CommandRecord("configure", ("node", "software"), ("slots",), 60),
    CommandRecord("run_jobs", ("slots",), (), None),
    CommandRecord("clean_up", (), (), 120, always=True),
)
RECORDS = {record.name: record for record in TABLE}
#: What a pilot does, in order, unless its settings name another pipeline.
ORDER = tuple(RECORDS)
#: Runs in every pipeline, last, whatever happened before.
LAST = "clean_up"
#: Those of our commands that have options, and which.
OPTIONS = {"prepare_software": ("path", "setup", "shell")}
#: Variables that payloads may be given begin otherwise.
OURS = "PILOTAGE_"
#: Only the pilot itself can do these: they hold what it is made of.
OURS_ALONE = frozenset({"discover", "configure", "run_jobs", "clean_up"})
#: What only these provide.
KEPT = frozenset(thing for name in OURS_ALONE for thing in RECORDS[name].provides)


def is_ours(name: str) -> bool:
    """Whether it has the form of a command of the pilot itself."""
    return _OURS.fullmatch(name) is not None


def is_theirs(name: str) -> bool:
    """Whether it has the form of a bundle's command, ``module:attribute``."""
    return _THEIRS.fullmatch(name) is not None


def option_problem(command: str, name: str) -> str:
    """Why a command can have no option of that name; empty: it can. What a bundle's has is its own business."""
    if command not in RECORDS:
        return ""
    if command not in OPTIONS:
        return f"expected no options: {command} has none"
    if name in OPTIONS[command] or (_VARIABLE.fullmatch(name) and not name.startswith(OURS)):
        return ""
    return f"expected {', '.join(OPTIONS[command])}, or A_VARIABLE for payloads, got {name!r}"


def order_problems(steps: Sequence[Described]) -> list[str]:
    """What is wrong with the order of a pipeline, as sentences."""
    problems: list[str] = []
    providers: dict[str, str] = {}
    later = {thing: step.name for step in steps for thing in step.provides}
    seen: set[str] = set()
    for step in steps:
        if step.name in seen:
            problems.append(f"{step.name} is in it twice")
        seen.add(step.name)
        for need in step.needs:
            if need not in providers:
                hint = f"{later[need]} does, but not before it" if need in later else "no command in it does"
                problems.append(f"{step.name} needs {need!r} from an earlier command: {hint}")
        for thing in step.provides:
            if providers.get(thing, step.name) != step.name:
                problems.append(f"{providers[thing]} and {step.name} both provide {thing!r}")
            providers[thing] = step.name
            if thing in KEPT and is_theirs(step.name):
                problems.append(f"{step.name} provides {thing!r}, which only the pilot itself can")
    return problems


def pipeline_problems(names: Sequence[str], bundled: Sequence[CommandRecord]) -> list[str]:
    """What is wrong with a pipeline of these names, given the commands of the bundles that come with it."""
    theirs = {record.name: record for record in bundled}
    unknown = [name for name in names if name not in RECORDS and name not in theirs]
    if unknown:
        return [_unknown(name, theirs) for name in unknown]
    whole = names if LAST in names else (*names, LAST)
    return order_problems([RECORDS.get(name) or theirs[name] for name in whole])


def missing(problem: str) -> bool:
    """Whether a problem of a pipeline is that a bundle's command is not there."""
    return problem.startswith(_MISSING)


def _unknown(name: str, theirs: Collection[str]) -> str:
    if is_theirs(name):
        there = f"they have {', '.join(sorted(theirs))}" if theirs else "there is none"
        return f"{_MISSING} {name}: {there}"
    return f"there is no command {name}; expected one of {', '.join(RECORDS)}, or module:attribute of a bundle"
