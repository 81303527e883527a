"""Names of commands become commands, and a pipeline is checked, before anything runs.

``"discover"`` is ours: the attribute `discover` of the module `commands.discover`. ``"module:attribute"`` is of a
community's bundle, and runs in a process of its own (`pilot/steps/`): the pilot hands in how. What cannot be found or
is no command stops the pilot and says why; nothing ever takes its place.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from commands.context import Context
from pilot.errors import PilotageError
from pilot.standard import LAST, ORDER, CommandRecord, is_ours, is_theirs, order_problems

#: What a pilot does unless its settings name another pipeline.
STANDARD = ORDER


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
    #: One of ours whose options name somebody else's code: with them it runs in a process of its own.
    apart: bool = False

    def __call__(self, context: Context) -> Context:
        return self.run(context)

    def record(self) -> CommandRecord:
        """What is known of it without its function."""
        return CommandRecord(self.name, self.needs, self.provides, self.timeout, self.always)


def command(
    *,
    needs: Sequence[str] = (),
    provides: Sequence[str] = (),
    timeout: Optional[float] = 300,
    always: bool = False,
    apart: bool = False,
) -> Callable[[Callable[[Context], Context]], Command]:
    """Make a function a command. `needs` are names that earlier commands must provide; `timeout` is in seconds."""

    def made(function: Callable[[Context], Context]) -> Command:
        return Command(function, function.__name__, tuple(needs), tuple(provides), timeout, always, apart)

    return made


def load(module: str, attribute: str, name: str) -> Command:
    """The command that is an attribute of a module, imported here and now. Raises `PipelineError`."""
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a community's module may fail in any way
        raise PipelineError(f"{name!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, Command):
        raise PipelineError(f"{name!r} is a {type(found).__name__}, not a command: decorate it with @command()")
    return found


def resolve(name: str, theirs: Mapping[str, Command]) -> Command:
    """The command of a name; `theirs` are those of bundles. Raises `PipelineError`."""
    if is_ours(name):
        return load(f"commands.{name}", name, name)
    if not is_theirs(name):
        raise PipelineError(f"{name!r}: expected the name of a command of ours, or module:attribute")
    if name not in theirs:
        raise PipelineError(f"{name!r}: no bundle that came with the settings has it")
    return theirs[name]


def assemble(names: Sequence[str], theirs: Optional[Mapping[str, Command]] = None) -> tuple[Command, ...]:
    """The commands of a pipeline, checked. No names: the standard one. Raises `PipelineError` with every problem."""
    names = tuple(names) or STANDARD
    if LAST not in names:
        names = (*names, LAST)
    steps = tuple(resolve(name, theirs or {}) for name in names)
    problems = order_problems(steps)
    if problems:
        raise PipelineError(f"the pipeline {', '.join(names)} cannot be run: {'; '.join(problems)}")
    return steps
