"""Runs the commands of a pipeline one after another, each within its time, and reports each step as it starts and ends.

A step that fails stops those after it, but for commands that always run. Here alone an exception of a command becomes
the reason why a pilot ends.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Literal, Optional, Protocol

from commands.context import Context, Unfit
from commands.registry import Command, PipelineError, assemble
from pilot.errors import PilotageError
from pilot.protocol import Step, StepReport
from pilot.standard import is_theirs
from pilot.states import PilotReason
from pilot.steps.guest import Interrupted, TooLate
from pilot.steps.output import StepLog

#: Seconds after which the monitor hears that a long step is being watched.
TURN = 5.0
#: What the step is called that brings the bundles.
BUNDLES = "bundles"
_Outcome = Literal["ok", "failed", "timeout", "skipped"]


class Apart(Protocol):
    """Runs commands in processes of their own (`pilot.steps.guests.Guests`)."""

    def prepare(self, context: Context, names: Sequence[str], log: StepLog) -> Mapping[str, Command]:
        """Bring the bundles, and say what the commands of these names are. Raises `PilotageError`."""

    def run(self, command: Command, context: Context, log: StepLog) -> Context:
        """Raises `Unfit`, `TooLate`, `Interrupted`, `PilotageError`."""


class Logs(Protocol):
    """Where steps write (`pilot.steps.output.StepLogs`)."""

    def open(self, number: int, command: str) -> StepLog: ...


@dataclass(frozen=True)
class Surroundings:
    """What a pipeline has besides its context. `started`: when the pilot began, by the context's clock."""

    guests: Optional[Apart] = None
    logs: Optional[Logs] = None
    started: float = 0.0


def assembled(context: Context, around: Surroundings) -> list[Command]:
    """The commands of the settings, checked, those of bundles among them. Bringing these is a step of its own, 0.

    Raises `PilotageError` with the reason why nothing may be run.
    """
    wanted = context.settings.pipeline
    names = [step.command for step in wanted]
    if not any(map(is_theirs, names)):
        return timed(assemble(names), wanted)
    log = around.logs.open(0, BUNDLES) if around.logs else StepLog(None, 0, lambda: None)
    started = context.clock.now()
    report = StepReport(0, BUNDLES, began=round(started - around.started, 3))
    context.central.step(report)
    problem = ""
    try:
        if around.guests is None:
            raise PilotageError("commands of bundles need processes of their own, and none can be started here")
        return timed(assemble(names, around.guests.prepare(context, names, log)), wanted)
    except (PilotageError, OSError) as error:
        problem = str(error)
        log.say(problem)
        if isinstance(error, PilotageError):
            raise
        raise PipelineError(f"the bundles cannot be brought here: {problem}") from error
    finally:
        log.close()
        seconds = round(context.clock.now() - started, 3)
        outcome: _Outcome = "failed" if problem else "ok"
        context.central.step(replace(report, outcome=outcome, seconds=seconds, message=problem, tail=log.tail()))


def timed(steps: Sequence[Command], settings: Sequence[Step]) -> list[Command]:
    """The same commands with the time limits of the settings."""
    limits = {step.command: float(step.timeout) for step in settings if step.timeout is not None}
    return [replace(step, timeout=limits[step.name]) if step.name in limits else step for step in steps]


def run(steps: Sequence[Command], context: Context, around: Surroundings = Surroundings()) -> Context:
    """Run the steps. The context returned says why the pilot ends: `reason` and `message` are set."""
    stopped = False
    for number, step in enumerate(steps, start=1):
        if stopped and not step.always:
            context.central.step(StepReport(number, step.name, "skipped", message="an earlier command failed"))
            continue
        context, ok = _Step(number, step, context, around).run()
        stopped = stopped or not ok
    if context.reason is None:
        return context.evolve(reason=PilotReason.DRAINED, message="every command of the pipeline has run")
    return context


class _Step:
    """One command at its turn."""

    def __init__(self, number: int, command: Command, before: Context, around: Surroundings) -> None:
        self.number = number
        self.command = command
        self.before = before.evolve(command=command.name)
        self.around = around
        self.log = around.logs.open(number, command.name) if around.logs else StepLog(None, 0, lambda: None)
        self.after: Optional[Context] = None
        self.problem: Optional[BaseException] = None

    def run(self) -> tuple[Context, bool]:
        """The context after it, and whether the pipeline may go on."""
        before, name = self.before, self.command.name
        started = before.clock.now()
        began = round(started - self.around.started, 3)
        before.central.step(StepReport(self.number, name, began=began))
        if self._is_apart():
            self._call_apart()
        else:
            self._within_its_time()
        outcome, reason, message = self._judge()
        seconds = round(before.clock.now() - started, 3)
        if message:
            self.log.say(message)
        self.log.close()
        before.central.step(StepReport(self.number, name, outcome, seconds, message, self.log.tail(), began))
        if outcome == "ok" and self.after is not None:
            provided = tuple(dict.fromkeys((*self.after.provided, *self.command.provides)))
            return self.after.evolve(say=before.say, provided=provided), True
        before.say(f"{name}: {message}")
        if before.reason is None:  # the first reason stands: what clean_up meets afterwards changes nothing
            before = before.evolve(reason=reason, message=message)
        return before, False

    def _is_apart(self) -> bool:
        """Whether it is somebody else's code, or runs some."""
        return is_theirs(self.command.name) or (self.command.apart and bool(self.before.options.get(self.command.name)))

    def _call_apart(self) -> None:
        try:
            if self.around.guests is None:
                raise PilotageError(f"{self.command.name} needs a process of its own, and none can be started here")
            self.after = self.around.guests.run(self.command, self.before, self.log)
        except (PilotageError, OSError) as error:
            self.problem = error

    def _within_its_time(self) -> None:
        if self.command.timeout is None:
            self._call()
            return
        # A thread cannot be ended from outside: a command that hangs keeps it until the process exits.
        thread = threading.Thread(target=self._call, name=f"command {self.command.name}", daemon=True)
        thread.start()
        end = time.monotonic() + self.command.timeout
        while thread.is_alive() and time.monotonic() < end:
            thread.join(min(TURN, end - time.monotonic()))
            self.before.central.tick()
        if thread.is_alive():
            self.problem = TooLate(f"not done after {self.command.timeout:g} s")

    def _call(self) -> None:
        try:
            self.after = self.command.run(self.before.evolve(say=self._listening(self.before.say)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a command may raise anything
            self.problem = error

    def _judge(self) -> tuple[_Outcome, PilotReason, str]:
        error, name = self.problem, self.command.name
        if isinstance(error, Unfit):
            return "failed", PilotReason.UNFIT, str(error)
        if isinstance(error, TooLate):
            return "timeout", PilotReason.COMMAND_FAILED, f"the command {name} was {error}"
        if isinstance(error, Interrupted):
            return "failed", error.reason, str(error)
        if isinstance(error, PilotageError):
            return "failed", PilotReason.COMMAND_FAILED, str(error)
        if error is not None:
            for line in _lines(error):
                self.log.say(line)
            return "failed", PilotReason.COMMAND_FAILED, f"{name}: {type(error).__name__}: {error}"
        if not isinstance(self.after, Context):
            found = type(self.after).__name__
            return "failed", PilotReason.COMMAND_FAILED, f"{name} returned {found}, expected a Context"
        return "ok", PilotReason.DRAINED, ""

    def _listening(self, say: Callable[[str], None]) -> Callable[[str], None]:
        def both(line: str) -> None:
            self.log.say(line)
            say(line)

        return both


def _lines(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
