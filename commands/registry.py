"""Names of commands become commands, and a pipeline is checked, before anything runs.

``"discover"`` is ours: the attribute `discover` of the module `commands.discover`. ``"module:attribute"`` is somebody's
own. What cannot be found or is no command stops the pilot and says why; nothing ever takes its place.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from commands.context import Context
from pilot.errors import PilotageError

#: What a pilot does unless its settings name another pipeline.
STANDARD = ("check_node", "discover", "prepare_software", "configure", "run_jobs", "clean_up")
#: Runs in every pipeline, last, whatever happened before.
LAST = "clean_up"
_OURS = re.compile(r"[a-z][a-z0-9_]*")
_THEIRS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class PipelineError(PilotageError):
    """The pipeline cannot be run as it is written; nothing of it was run."""


@dataclass(frozen=True)
class Command:
    """One step: a function from context to context, and what the engine must know about it."""

    run: Callable[[Context], Context]
    name: str
    needs: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    timeout: Optional[float] = None  # seconds; None: as long as it takes
    always: bool = False  # runs also after a step has failed

    def __call__(self, context: Context) -> Context:
        return self.run(context)


def command(
    *,
    needs: Sequence[str] = (),
    provides: Sequence[str] = (),
    timeout: Optional[float] = 300,
    always: bool = False,
) -> Callable[[Callable[[Context], Context]], Command]:
    """Make a function a command. `needs` are names that earlier commands must provide; `timeout` is in seconds."""

    def made(function: Callable[[Context], Context]) -> Command:
        return Command(function, function.__name__, tuple(needs), tuple(provides), timeout, always)

    return made


def resolve(name: str) -> Command:
    """The command of a name. Raises `PipelineError`."""
    if _OURS.fullmatch(name):
        module, attribute = f"commands.{name}", name
    elif _THEIRS.fullmatch(name):
        module, attribute = name.split(":")
    else:
        raise PipelineError(f"{name!r}: expected the name of a command of ours, or module:attribute")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a community's module may fail in any way
        raise PipelineError(f"{name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, Command):
        raise PipelineError(f"{name!r} is a {type(found).__name__}, not a command: decorate it with @command()")
    return found


def assemble(names: Sequence[str]) -> tuple[Command, ...]:
    """The commands of a pipeline, checked. No names: the standard one. Raises `PipelineError` with every problem."""
    names = tuple(names) or STANDARD
    if LAST not in names:
        names = (*names, LAST)
    steps = tuple(resolve(name) for name in names)
    problems = check(steps)
    if problems:
        raise PipelineError(f"the pipeline {', '.join(names)} cannot be run: {'; '.join(problems)}")
    return steps


def check(steps: Sequence[Command]) -> list[str]:
    """What is wrong with the order of a pipeline, as sentences."""
    problems: list[str] = []
    providers: dict[str, str] = {}
    later = {thing: step.name for step in steps for thing in step.provides}
    seen: list[Command] = []
    for step in steps:
        if step in seen:
            problems.append(f"{step.name} is in it twice")
        seen.append(step)
        for need in step.needs:
            if need not in providers:
                hint = f"{later[need]} does, but not before it" if need in later else "no command in it does"
                problems.append(f"{step.name} needs {need!r} from an earlier command: {hint}")
        for thing in step.provides:
            if providers.get(thing, step.name) != step.name:
                problems.append(f"{providers[thing]} and {step.name} both provide {thing!r}")
            providers[thing] = step.name
    return problems
