"""Brings the outputs of an attempt home, and says in its report what was delivered and what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from pilot.attempts.carrier import SANDBOX, Carrier, Pause
from pilot.attempts.outputs import Output, TooManyOutputs
from pilot.errors import Refusal
from pilot.persist import Stopped
from pilot.protocol import AttemptReport, OutputFile
from pilot.states import Outcome


class Delivery:
    """Delivers for one attempt, in its thread."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.delivered: list[OutputFile] = []
        self.undelivered: list[str] = []
        self.why = ""  # why the first of them was not

    def add_to(self, report: AttemptReport, pause: Pause) -> AttemptReport:
        """Deliver everything; the report says what became of it. `pause` waits between tries and says when to stop."""
        try:
            collected = self.carrier.find(self.carrier.lease.spec.outputs)
        except TooManyOutputs as problem:
            return _spoiled(report, (), str(problem))
        stopped: Optional[Stopped] = None
        for output in collected.outputs.values():
            if stopped is None:
                stopped = self._deliver(output, pause)
            else:
                self._give_up(output, str(stopped))
        notes = [f"the output {name} is not there" for name in collected.missing] + collected.refused
        report = replace(report, outputs=tuple(self.delivered), message=_sentences([report.message, *notes]))
        return _spoiled(report, self.undelivered, self.why) if self.undelivered else report

    def _deliver(self, output: Output, pause: Pause) -> Optional[Stopped]:
        """Bring it to the sandbox store. Returns how it was stopped, should it be."""
        destinations = output.to or (SANDBOX,)  # where a rule names none
        if SANDBOX not in destinations:
            self._give_up(output, f"this pilot cannot deliver to {', '.join(destinations)}")
            return None
        try:
            self.delivered.append(self.carrier.bring(output, pause))
        except Refusal as refusal:
            self._give_up(output, str(refusal))
        except OSError as error:
            self._give_up(output, f"it cannot be read: {error.strerror}")
        except Stopped as stopped:
            self._give_up(output, str(stopped))
            return stopped
        return None

    def _give_up(self, output: Output, why: str) -> None:
        self.undelivered.append(output.name)
        self.why = self.why or why


def _spoiled(report: AttemptReport, undelivered: Sequence[str], why: str) -> AttemptReport:
    """A payload that succeeded, whose outputs did not get home, has not succeeded; one that failed has failed still."""
    shown = ", ".join(undelivered[:5]) + (f" and {len(undelivered) - 5} more" if len(undelivered) > 5 else "")
    message = _sentences([report.message, f"not delivered: {shown or 'its outputs'} ({why})"])
    outcome = Outcome.OUTPUT_ERROR if report.outcome is Outcome.SUCCESS else report.outcome
    return replace(report, outcome=outcome, undelivered=tuple(undelivered), message=message)


def _sentences(parts: Sequence[str]) -> str:
    return "; ".join(part for part in parts if part)
