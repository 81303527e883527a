"""Which machines make room for a community that waits and has had less than its share: a pure decision.

Only machines that are bound to one community are asked: on others the matcher sees to shares. Those asked drain: they
take no new job, and end when what runs on them has ended. Nothing that runs is killed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: So much above what it is due, as a part of that, a community may be before it makes room.
MARGIN = 0.1
#: Of the cores that are there, the part that is asked to make room in one turn.
TURN = 0.1


@dataclass(frozen=True)
class Seat:
    """A running machine of one community, which takes jobs."""

    stamp: str
    community: str
    cores: int
    busy: int  # cores on which a job runs
    core_hour: float = 0.0  # its price


@dataclass(frozen=True)
class Party:
    """A community: what it is due, and what it has had, each as a part (0 to 1) of what those listed are due, or have
    had, together; and the cores that its waiting jobs ask for and nothing is on its way for."""

    due: float
    had: float  # decayed use, what runs included
    waiting: int = 0


def yielding(
    seats: Sequence[Seat], parties: Mapping[str, Party], room: int | None, leaving: int = 0
) -> tuple[str, ...]:
    """Stamps of machines that are to drain; those that do nothing first, and of these the dearest. `seats` are those
    that were not asked before; `room`: cores that may still be started, None: no bound is known, so that nobody has to
    make room; `leaving`: cores that drain already, or have been started and not come."""
    short = sum(party.waiting for party in parties.values() if party.had < party.due)
    if room is None or short <= room + leaving:
        return ()
    whole = sum(seat.cores for seat in seats) + leaving
    asked = min(short - room - leaving, max(1, math.floor(whole * TURN)))
    spare = {name: _spare(party, name, seats, whole) for name, party in parties.items()}
    found: list[str] = []
    for seat in sorted(seats, key=lambda seat: (seat.busy / max(1, seat.cores), -seat.core_hour, seat.stamp)):
        if asked <= 0:
            break
        if spare.get(seat.community, 0.0) >= seat.cores:
            spare[seat.community] -= seat.cores
            asked -= seat.cores
            found.append(seat.stamp)
    return tuple(found)


def _spare(party: Party, name: str, seats: Sequence[Seat], whole: int) -> float:
    """Cores that a community has now beyond what it is due of all that are there; none where it has not had more than
    that so far."""
    if party.had <= party.due * (1 + MARGIN):
        return 0.0
    return max(0.0, sum(seat.cores for seat in seats if seat.community == name) - party.due * whole)
