"""Outputs on their way: each with the destinations that are left to it, and what became of it at the others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from pilot.attempts.outputs import Output
from pilot.destination import SANDBOX, shown
from pilot.destinations.port import Digests
from pilot.protocol import OutputFile

#: Outputs that a message tells of, and destinations of each.
SHOWN = 3


@dataclass
class Parcel:
    """One output. It waits as long as it is not delivered and a destination is left to it."""

    output: Output
    left: list[str]  # destinations as the job wrote them, in order
    digests: Optional[Digests] = None
    failures: dict[str, str] = field(default_factory=dict)  # destination → why it is not there
    delivered: Optional[OutputFile] = None
    tries: int = 0
    denied: bool = False  # whether a storage did not let us

    @property
    def words(self) -> int:
        """Bytes, at the most, that a report needs to tell of it."""
        name = len(json.dumps(self.output.name))
        return 300 + name + max((len(json.dumps(to)) + 3 * name for to in self.left if to != SANDBOX), default=0)

    @property
    def waits(self) -> bool:
        return self.delivered is None and bool(self.left)

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
        told = list(self.failures.items())[:SHOWN]
        return "; ".join(why if shown(destination) in why else f"{destination}: {why}" for destination, why in told)


def _where(parcel: Parcel) -> str:
    return " ".join(parcel.delivered.where) if parcel.delivered is not None else ""


def parcels_of(outputs: Iterable[Output]) -> list[Parcel]:
    """The outputs, each with the destinations that its rule lists: the sandbox store where it lists none."""
    return [Parcel(output, list(dict.fromkeys(output.to or (SANDBOX,)))) for output in outputs]


def detours(parcels: Iterable[Parcel]) -> str:
    """A sentence about outputs that are not at the first of their destinations; empty where all are."""
    found = [parcel for parcel in parcels if parcel.delivered is not None and parcel.failures]
    if not found:
        return ""
    told = [f"{one.output.name} is at {_where(one)} ({one.why})" for one in found[:SHOWN]]
    more = f", and so {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"another destination was taken: {'; '.join(told)}{more}"
