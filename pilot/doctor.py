"""`pilot.pyz doctor`: what this computer is fit for as a pilot would find it, and how that was found out."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from commands.check_node import check
from commands.configure import decide
from commands.context import Unfit
from pilot import policy
from pilot.bootstrap import Libraries
from pilot.errors import ExitCode
from pilot.node import Declared, Discovery, disk, power
from pilot.node.machine import this_machine
from pilot.policing import PolicedNode
from pilot.protocol import Fact, Settings
from pilot.units import show_duration, show_size

#: Facts that are bytes, and facts that are seconds.
_SIZES = ("memory", "disk")
_TIMES = ("seconds_left", "clock_error")
_TAG = "tag:"
#: Headings, and the facts below each; what stands nowhere here comes last.
_CHAPTERS = (
    ("What jobs may use", ("batch", "batch_job", "seconds_left", "cores", "cpus", "memory", "disk", "gpu*", "power")),
    ("What programs find", ("arch", "microarch", "glibc", "os", "kernel", "cpu", "python", "psutil")),
    ("Where this is", ("host", "cloud", "instance", "instance_type", "zone", "proxy", "clock_*")),
    ("What can be held apart", ("cgroups", "cgroups_ours", "container")),
)


def run(libraries: Libraries, work: Path, as_json: bool, reach: Sequence[str] = (), bench: bool = False) -> ExitCode:
    """Print the report. `reach`: whom to connect to, HOST:PORT; `bench`: measure the power of a core, for seconds."""
    machine = this_machine()
    word = policy.heed(None)
    node = Discovery(machine, work, Declared(reach=tuple(reach)), time.monotonic())
    found = PolicedNode(node, word).facts()
    facts = [*found, Fact("psutil", libraries.psutil, libraries.sentence)]
    if bench:
        facts.append(power.Power(power.node(machine), None, power.run_benchmark).find())
    problem = word.problem or unfit(facts, work, disk.free(work))
    if as_json:
        listed = [{"name": fact.name, "value": fact.value, "source": fact.source} for fact in facts]
        print(json.dumps({"fit": not problem, "problem": problem, "facts": listed}, indent=2))
    else:
        print(report(facts, problem))
    return ExitCode.UNFIT if problem else ExitCode.DONE


def unfit(facts: Sequence[Fact], work: Path, free: Optional[int]) -> str:
    """Why a pilot would end here without having asked for a job; empty where it would not."""
    try:
        check(work, free, Settings().min_disk)
        decide(facts, Settings(), (), ())
    except Unfit as problem:
        return str(problem)
    return ""


def report(facts: Sequence[Fact], problem: str) -> str:
    """For people: the verdict, chapters of facts, and tags."""
    parts = [verdict(facts, problem)]
    left = [fact for fact in facts if not fact.name.startswith(_TAG)]
    for heading, names in _CHAPTERS:
        chapter = [fact for name in names for fact in left if _named(fact, name)]
        left = [fact for fact in left if fact not in chapter]
        parts.append(f"{heading}\n{table(chapter)}")
    if left:
        parts.append(f"And\n{table(left)}")
    parts.append(tags([fact for fact in facts if fact.name.startswith(_TAG)]))
    return "\n\n".join(parts)


def verdict(facts: Sequence[Fact], problem: str) -> str:
    """One sentence: what jobs would get here, or why none would come."""
    if problem:
        return f"This computer is not fit for jobs: {problem}."
    shown = {fact.name: show(fact) for fact in facts}
    amounts = [f"{shown.get(name, 'unknown')} of {name}" for name in _SIZES]
    cores, gpus = _counted(shown.get("cores", "unknown"), "core"), _counted(shown.get("gpus", "unknown"), "GPU")
    time_left = f"time left: {shown.get('seconds_left', 'unknown')}"
    return f"This computer is fit for jobs: {cores}, {', '.join(amounts)}, {gpus}; {time_left}."


def _counted(number: str, thing: str) -> str:
    return f"{number} {thing}" if number == "1" else f"{number} {thing}s"


def tags(facts: Sequence[Fact]) -> str:
    """Which tags hold, which do not, and of which nobody can say."""
    lines = ["Tags"]
    for heading, value in (("hold", True), ("do not hold", False), ("unknown: neither the tag nor its negation", None)):
        chosen = [Fact(fact.name[len(_TAG) :], "", fact.source) for fact in facts if fact.value is value]
        if chosen:
            width = max(len(fact.name) for fact in chosen)
            lines.append(f"  {heading}")
            lines += [f"    {fact.name:{width}}  {fact.source}" for fact in chosen]
    return "\n".join(lines)


def table(facts: Sequence[Fact]) -> str:
    """Names, values and sources, aligned."""
    if not facts:
        return "  nothing was found out"
    rows = [(fact.name, show(fact), fact.source) for fact in facts]
    names = max(len(name) for name, _, _ in rows)
    values = min(40, max(len(value) for _, value, _ in rows))
    return "\n".join(f"  {name:{names}}  {value:{values}}  {source}".rstrip() for name, value, source in rows)


def show(fact: Fact) -> str:
    """A value for people."""
    if fact.value is None:
        return "unknown"
    if isinstance(fact.value, bool):
        return "yes" if fact.value else "no"
    if fact.name in _TIMES and isinstance(fact.value, (int, float)):
        return show_duration(fact.value)
    if (fact.name in _SIZES or fact.name.endswith("_memory")) and isinstance(fact.value, int):
        return show_size(fact.value)
    return str(fact.value) or "none"


def _named(fact: Fact, name: str) -> bool:
    return fact.name.startswith(name[:-1]) if name.endswith("*") else fact.name == name
