"""Outputs on their way: each with the destinations that are left to it, and what became of it at the others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from pilot.attempts.outputs import Output
from pilot.destination import SANDBOX, shown, target_of
from pilot.destinations.port import Digests
from pilot.errors import InvalidInput
from pilot.protocol import OutputFile

#: Outputs that a message tells of, and destinations of each.
SHOWN = 3


@dataclass
class Parcel:
    """One output. It waits as long as it is not delivered and a destination is left to it."""

    output: Output
    left: list[str]  # destinations as the job wrote them, in order
    job: int = 0
    attempt: int = 0
    digests: Optional[Digests] = None
    failures: dict[str, str] = field(default_factory=dict)  # destination → why it is not there
    delivered: Optional[OutputFile] = None
    tries: int = 0
    denied: bool = False  # whether a storage did not let us
    readable: bool = True
    kept: bool = False  # goes to the sandbox store only since no destination takes it

    @property
    def words(self) -> int:
        """Bytes, at the most, that a report needs to tell of it."""
        name = len(json.dumps(self.output.name))
        return 300 + name + max((len(json.dumps(to)) + 3 * name for to in self.left if to != SANDBOX), default=0)

    @property
    def waits(self) -> bool:
        return self.delivered is None and bool(self.left)

    @property
    def may_be_kept(self) -> bool:
        """Whether nobody has it, and the sandbox store was not asked."""
        return self.delivered is None and self.readable and SANDBOX not in self.failures

    def reject(self, destination: str, why: str) -> None:
        """It will never be there."""
        self.failures[destination] = why
        self.left.remove(destination)

    def give_up(self, why: str) -> None:
        """It will be nowhere. What was said before says more than that the time was over."""
        for destination in self.left:
            self.failures.setdefault(destination, why)
        self.left.clear()
        if not self.failures:
            self.failures[SANDBOX] = why

    @property
    def why(self) -> str:
        """Why it is not where it was to be first, or nowhere."""
        if len(self.failures) == 1:
            return next(iter(self.failures.values()))
        told = [(self.address(destination), why) for destination, why in list(self.failures.items())[:SHOWN]]
        return "; ".join(why if address in why else f"{address}: {why}" for address, why in told)

    def address(self, destination: str) -> str:
        """Where exactly that is, as messages say it."""
        if destination == SANDBOX:
            return destination
        try:
            return shown(target_of(destination, self.job, self.attempt, self.output.name).url)
        except InvalidInput:
            return shown(destination)


def _where(parcel: Parcel) -> str:
    return " ".join(parcel.delivered.where) if parcel.delivered is not None else ""


def parcels_of(outputs: Iterable[Output], job: int, attempt: int) -> list[Parcel]:
    """The outputs of an attempt, each with the destinations of its rule: the sandbox store where it has none."""
    return [Parcel(output, list(dict.fromkeys(output.to or (SANDBOX,))), job, attempt) for output in outputs]


def detours(parcels: Iterable[Parcel]) -> str:
    """A sentence about outputs that are not at the first of their destinations; empty where all are."""
    found = [parcel for parcel in parcels if parcel.delivered is not None and parcel.failures and not parcel.kept]
    if not found:
        return ""
    told = [f"{one.output.name} is at {_where(one)} ({one.why})" for one in found[:SHOWN]]
    more = f", and so {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"another destination was taken: {'; '.join(told)}{more}"
