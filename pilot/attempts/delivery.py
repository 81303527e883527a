"""Brings the outputs of an attempt home, and says in its report what was delivered and what was not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Callable

from pilot.attempts.carrier import Carrier
from pilot.attempts.outputs import TooManyOutputs
from pilot.attempts.parcels import Parcel, detours, parcels_of
from pilot.attempts.rounds import Rounds
from pilot.codes import AttemptCode
from pilot.destination import SANDBOX, serves_one
from pilot.destinations.port import Pause
from pilot.protocol import MAX_MESSAGE, AttemptReport
from pilot.states import Outcome

#: Bytes that names and addresses of all outputs may have: the report that tells of them is one message.
MAX_WORDS = MAX_MESSAGE - 512 * 1024
_LONG = "names and addresses of the outputs have {words:,} bytes together, more than {most:,}"


class Delivery:
    """Delivers for one attempt, in its thread and a few others."""

    def __init__(self, carrier: Carrier, steady: Callable[[], float] = time.monotonic) -> None:
        self.carrier = carrier
        self.steady = steady

    def add_to(self, report: AttemptReport, pause: Pause) -> AttemptReport:
        """Deliver everything; the report says what became of it. `pause` waits between tries and says when to stop."""
        try:
            collected = self.carrier.find(self.carrier.lease.spec.outputs)
        except TooManyOutputs as problem:
            return _spoiled(report, (), str(problem))
        parcels = parcels_of(collected.outputs.values())
        words = sum(parcel.words for parcel in parcels)
        if words > MAX_WORDS:
            return _spoiled(report, (), f"{_LONG.format(words=words, most=MAX_WORDS)}: pack them, or name them shorter")
        self._part(parcels)
        Rounds(self.carrier, parcels, pause, self.steady).run()
        notes = [f"the output {name} is not there" for name in collected.missing] + collected.refused
        delivered = tuple(parcel.delivered for parcel in parcels if parcel.delivered is not None)
        report = replace(report, outputs=delivered, message=_sentences([report.message, *notes, detours(parcels)]))
        lost = [parcel for parcel in parcels if parcel.delivered is None]
        if report.outcome is Outcome.SUCCESS and any(parcel.denied for parcel in lost):
            report = replace(report, code=AttemptCode.CREDENTIAL)
        return _spoiled(report, [parcel.output.name for parcel in lost], lost[0].why) if lost else report

    def _part(self, parcels: Sequence[Parcel]) -> None:
        """No two outputs go to the same place: the later one would take the earlier one's."""
        taken: set[tuple[str, str]] = set()
        for parcel in parcels:
            for destination in [each for each in parcel.left if each != SANDBOX]:
                place = (destination, "" if serves_one(destination) else parcel.output.name)
                if place in taken:
                    parcel.reject(destination, f"another output goes to {destination}: let it end in a slash")
                taken.add(place)


def _spoiled(report: AttemptReport, undelivered: Sequence[str], why: str) -> AttemptReport:
    """A payload that succeeded, whose outputs did not get home, has not succeeded; one that failed has failed still."""
    shown = ", ".join(undelivered[:5]) + (f" and {len(undelivered) - 5} more" if len(undelivered) > 5 else "")
    message = _sentences([report.message, f"not delivered: {shown or 'its outputs'} ({why})"])
    outcome = Outcome.OUTPUT_ERROR if report.outcome is Outcome.SUCCESS else report.outcome
    return replace(report, outcome=outcome, undelivered=tuple(undelivered), message=message)


def _sentences(parts: Sequence[str]) -> str:
    return "; ".join(part for part in parts if part)
