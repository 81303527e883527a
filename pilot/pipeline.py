"""Runs the commands of a pipeline one after another, each within its time, and reports each step as it starts and ends.

A step that fails stops those after it, but for commands that always run. Here alone an exception of a command becomes
the reason why a pilot ends.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from typing import Callable, Literal, Optional

from commands.context import Context, Unfit
from commands.registry import Command
from pilot.errors import PilotageError
from pilot.protocol import MAX_TAIL, StepReport
from pilot.states import PilotReason

#: Lines of a step that are reported with its end.
TAIL_LINES = 20
#: Seconds after which the monitor hears that a long step is being watched.
TURN = 5.0
_Outcome = Literal["ok", "failed", "timeout", "skipped"]


def run(steps: Sequence[Command], context: Context) -> Context:
    """Run the steps. The context returned says why the pilot ends: `reason` and `message` are set."""
    stopped = False
    for number, step in enumerate(steps, start=1):
        if stopped and not step.always:
            context.central.step(StepReport(number, step.name, "skipped", message="an earlier command failed"))
            continue
        context, ok = _Step(number, step, context).run()
        stopped = stopped or not ok
    if context.reason is None:
        return context.evolve(reason=PilotReason.DRAINED, message="every command of the pipeline has run")
    return context


class _Step:
    """One command at its turn."""

    def __init__(self, number: int, command: Command, before: Context) -> None:
        self.number = number
        self.command = command
        self.before = before
        self.lines: deque[str] = deque(maxlen=TAIL_LINES)
        self.after: Optional[Context] = None
        self.problem: Optional[BaseException] = None

    def run(self) -> tuple[Context, bool]:
        """The context after it, and whether the pipeline may go on."""
        before = self.before
        started = before.clock.now()
        before.central.step(StepReport(self.number, self.command.name))
        outcome, reason, message = self._within_its_time()
        seconds = round(before.clock.now() - started, 3)
        before.central.step(StepReport(self.number, self.command.name, outcome, seconds, message, self._tail()))
        if outcome == "ok" and self.after is not None:
            provided = tuple(dict.fromkeys((*self.after.provided, *self.command.provides)))
            return self.after.evolve(say=before.say, provided=provided), True
        before.say(f"{self.command.name}: {message}")
        if before.reason is None:  # the first reason stands: what clean_up meets afterwards changes nothing
            before = before.evolve(reason=reason, message=message)
        return before, False

    def _within_its_time(self) -> tuple[_Outcome, PilotReason, str]:
        if self.command.timeout is None:
            self._call()
        else:
            # A thread cannot be ended from outside: a command that hangs keeps it until the process exits.
            thread = threading.Thread(target=self._call, name=f"command {self.command.name}", daemon=True)
            thread.start()
            end = time.monotonic() + self.command.timeout
            while thread.is_alive() and time.monotonic() < end:
                thread.join(min(TURN, end - time.monotonic()))
                self.before.central.tick()
            if thread.is_alive():
                late = f"the command {self.command.name} was not done after {self.command.timeout:g} s"
                return "timeout", PilotReason.COMMAND_FAILED, late
        return self._judge()

    def _call(self) -> None:
        try:
            self.after = self.command.run(self.before.evolve(say=self._listening(self.before.say)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a community's code may raise anything
            self.problem = error

    def _judge(self) -> tuple[_Outcome, PilotReason, str]:
        error = self.problem
        if isinstance(error, Unfit):
            return "failed", PilotReason.UNFIT, str(error)
        if isinstance(error, PilotageError):
            return "failed", PilotReason.COMMAND_FAILED, str(error)
        if error is not None:
            self.lines.extend(_lines(error))
            return "failed", PilotReason.COMMAND_FAILED, f"{self.command.name}: {type(error).__name__}: {error}"
        if not isinstance(self.after, Context):
            found = type(self.after).__name__
            return "failed", PilotReason.COMMAND_FAILED, f"{self.command.name} returned {found}, expected a Context"
        return "ok", PilotReason.DRAINED, ""

    def _listening(self, say: Callable[[str], None]) -> Callable[[str], None]:
        def both(line: str) -> None:
            self.lines.append(line)
            say(line)

        return both

    def _tail(self) -> str:
        return "\n".join(self.lines)[-MAX_TAIL:]


def _lines(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
