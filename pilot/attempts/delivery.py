"""Brings the outputs of an attempt home, and says in its report what was delivered and what was not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Callable

from pilot.attempts.carrier import Carrier
from pilot.attempts.outputs import TooDeep
from pilot.attempts.parcels import Parcel, detours, parcels_of
from pilot.attempts.rounds import Rounds
from pilot.codes import AttemptCode
from pilot.destination import SANDBOX, serves_one
from pilot.destinations.port import Pause
from pilot.protocol import MAX_MESSAGE, AttemptReport
from pilot.states import Outcome

#: Bytes that names and addresses of all outputs may have: the report that tells of them is one message.
MAX_WORDS = MAX_MESSAGE - 512 * 1024
#: Outputs that a sentence names.
SHOWN = 5
#: Of the outputs that are more than one attempt may bring, those that the report names.
NAMED = 20


class Delivery:
    """Delivers for one attempt, in its thread and a few others. `tell` hears of transfers that are tried again."""

    def __init__(
        self,
        carrier: Carrier,
        steady: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.carrier = carrier
        self.steady = steady
        self.tell = tell

    def add_to(self, report: AttemptReport, pause: Pause) -> AttemptReport:
        """Deliver everything; the report says what became of it. `pause` waits between tries and says when to stop."""
        try:
            collected = self.carrier.find(self.carrier.lease.spec.outputs)
        except TooDeep as problem:
            return _spoiled(report, f"not delivered: its outputs ({problem})")
        lease = self.carrier.lease
        parcels, beyond = _within_words(parcels_of(collected.outputs.values(), lease.job, lease.attempt))
        beyond += collected.beyond
        self._part(parcels)
        if Rounds(self.carrier, parcels, pause, self.steady, self.tell).run() is None:
            self._keep(parcels, pause)
        self.tell("")
        notes = (report.message, *collected.refused, detours(parcels))
        delivered = tuple(parcel.delivered for parcel in parcels if parcel.delivered is not None)
        report = replace(report, outputs=delivered, message=_sentences(notes))
        return self._judged(report, collected.missing, parcels, beyond)

    def _keep(self, parcels: Sequence[Parcel], pause: Pause) -> None:
        """What no destination takes goes to the sandbox store: its directory will be removed."""
        homeless = [parcel for parcel in parcels if parcel.may_be_kept]
        for parcel in homeless:
            parcel.kept = True
            parcel.left = [SANDBOX]
        Rounds(self.carrier, homeless, pause, self.steady, self.tell).run()

    def _part(self, parcels: Sequence[Parcel]) -> None:
        """No two outputs go to the same place: the later one would take the earlier one's."""
        taken: set[tuple[str, str]] = set()
        for parcel in parcels:
            for destination in [each for each in parcel.left if each != SANDBOX]:
                place = (destination, "" if serves_one(destination) else parcel.output.name)
                if place in taken:
                    where = parcel.address(destination)
                    parcel.reject(destination, f"another output goes to {where}: let it end in a slash")
                taken.add(place)

    def _judged(
        self, report: AttemptReport, missing: Sequence[str], parcels: Sequence[Parcel], beyond: Sequence[str]
    ) -> AttemptReport:
        """What is missing, or is not where it was to be, is an error."""
        lost = [parcel for parcel in parcels if parcel.kept or parcel.delivered is None]
        if report.outcome is Outcome.SUCCESS and any(parcel.denied for parcel in lost):
            report = replace(report, code=AttemptCode.CREDENTIAL)
        gone = [parcel.output.name for parcel in lost if parcel.delivered is None]
        sentences = []
        if missing:
            sentences.append(_not_there(missing, report.outcome is Outcome.SUCCESS))
        if lost:
            sentences.append(f"not delivered: {_names([parcel.output.name for parcel in lost])} ({lost[0].why})")
            if len(gone) < len(lost):
                sentences.append(kept_sentence(self.carrier.lease.job))
        if beyond:
            sentences.append(f"not delivered: {_names(beyond)} (the first {len(parcels):,} were: pack them)")
        undelivered = (*gone, *beyond[:NAMED])
        return _spoiled(report, *sentences, undelivered=undelivered) if sentences else report


def kept_sentence(job: int) -> str:
    """Where an output is that its destinations did not take."""
    return f"what no destination took is in the sandbox store: `pilotage output {job}` fetches it"


def _within_words(parcels: Sequence[Parcel]) -> tuple[list[Parcel], list[str]]:
    """As many outputs as a report can tell of, and the names of the others."""
    words = 0
    for count, parcel in enumerate(parcels):
        words += parcel.words
        if words > MAX_WORDS:
            return list(parcels[:count]), [each.output.name for each in parcels[count:]]
    return list(parcels), []


def _not_there(missing: Sequence[str], must: bool) -> str:
    several = len(missing) > 1
    told = f"the output{'s' if several else ''} {_names(missing)} {'are' if several else 'is'} not there"
    hint = f": where it need not be, write {{path: {missing[0]}, optional: true}}" if must else ""
    return told + hint


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _spoiled(report: AttemptReport, *sentences: str, undelivered: tuple[str, ...] = ()) -> AttemptReport:
    """A payload that succeeded, whose outputs did not get home, has not succeeded; one that failed has failed still."""
    outcome = Outcome.OUTPUT_ERROR if report.outcome is Outcome.SUCCESS else report.outcome
    message = _sentences([report.message, *sentences])
    return replace(report, outcome=outcome, undelivered=undelivered, message=message)


def _sentences(parts: Sequence[str]) -> str:
    return "; ".join(part for part in parts if part)
