"""Which of several queues starts machines for jobs that fit them all: pure decisions over what they cost, what became
of their machines, and what room they have. Times are seconds since the epoch.

Queues compare themselves with each other (`aside`): one leaves to cheaper ones what these can take at once, and takes
the rest. So a spot queue goes before the same flavor on demand, and that one steps in where spot is refused or taken
back again and again (`trust`), too dear (`central/clouds/buying.py`) or full; and a cloud goes after a cluster that is
there anyway, but for what that one cannot take. How many machines a queue then starts is decided as for all queues
(`central/directors/control.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from central.directors.backoff import OPEN, Gate, Past, Way
from central.directors.board import Wait
from central.elements.port import Trouble
from pilot.states import PilotReason
from pilot.units import show_duration

#: Seconds that a spot machine must last to be worth its boot: one that did speaks for spot.
WORTH = 3600.0
#: So many losses in a row are held against spot; and the seconds of pause after these, doubled with each further one.
LOSSES, PAUSE, PAUSE_CAP = 2, 600.0, 6 * 3600.0
#: Refusals in a row that count.
MOST_REFUSALS = 10
#: How a pilot ends whose machine is taken back, with notice and without.
TAKEN_BACK = frozenset({PilotReason.SIGNAL, PilotReason.GONE, PilotReason.LOST_CONTACT})
#: Pilots count as so efficient before they have told, as if they had done so for so many core-seconds.
PRIOR, PRIOR_TIME = 0.8, 8 * 3600.0
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Loss:
    """A spot machine that was refused for want of capacity, or taken back. `lasted`: seconds that it ran."""

    at: float
    lasted: float = 0.0


def losses(past: Past) -> Sequence[Loss]:
    """Of a spot queue, newest first: the ends of pilots that its cloud made, those that lasted among them, and its
    refusals for want of capacity since it took the last."""
    found = [
        Loss(end.ended, 0.0 if end.began is None else end.ended - end.began)
        for end in past.ends
        if end.reason in TAKEN_BACK
    ]
    if past.setback and past.setback.trouble is Trouble.FULL:
        found += [Loss(past.setback.at)] * min(past.setback.times, MOST_REFUSALS)
    return sorted(found, key=lambda loss: -loss.at)


def trust(losses: Sequence[Loss], now: float, good: float | None = None) -> Way:
    """Whether spot machines may be bought: `losses` newest first, `good`: when one was last known to have lasted
    `WORTH`. After some losses in a row there is a pause, longer with each; then a single machine is tried."""
    bad = list(takewhile(lambda loss: loss.lasted < WORTH and (good is None or loss.at > good), losses))
    if len(bad) < LOSSES:
        return OPEN
    until = bad[0].at + min(PAUSE * 2 ** min(len(bad) - LOSSES, 30), PAUSE_CAP)
    why = f"the last {len(bad)} spot machines were refused or taken back within {show_duration(int(WORTH))}"
    if until > now:
        return Way(Gate.SHUT, f"{why}; trying again in {show_duration(math.ceil(until - now))}", until)
    return Way(Gate.HALF, why, until)


def efficiency(good: float, whole: float) -> float:
    """The part of its pilots' time that was good for something, of the core-seconds that they have told."""
    return (max(0.0, good) + PRIOR * PRIOR_TIME) / (max(good, whole, 0.0) + PRIOR_TIME)


@dataclass(frozen=True)
class Door:
    """A queue, as one through which machines are bought."""

    queue: str
    cores: int  # of a machine
    hour: float  # that one is expected to cost; 0: it is there anyway
    room: int | None  # machines that it may still start; None: no bound is known
    gate: Gate = Gate.OPEN
    slow: bool = False  # those that it sent have been on their way for longer than anybody waits
    efficiency: float = 1.0

    def after(self, sent: int) -> Door:
        """When so many more machines have been started."""
        return self if self.room is None else replace(self, room=max(0, self.room - sent))

    @property
    def core_hour(self) -> float:
        """What an hour of a core that does something costs."""
        return self.hour / max(1, self.cores) / max(self.efficiency, _ROUNDING)

    @property
    def takes(self) -> float:
        """Cores that it can take on now."""
        if self.gate is Gate.SHUT or self.slow or self.room == 0:
            return 0.0
        if self.gate is Gate.HALF:
            return float(self.cores)  # a probe
        return math.inf if self.room is None else float(self.room * self.cores)


def aside(mine: Door, others: Sequence[tuple[Door, frozenset[int]]], left: Sequence[Wait]) -> tuple[Wait, ...]:
    """What of the jobs that are `left` to a queue it starts machines for, beside other queues with the task queues that
    each of them fits: not what cheaper ones can take at once."""
    cheaper = [each for each in others if each[0].core_hour < mine.core_hour and each[0].queue != mine.queue]
    rest = list(left)
    for door, fits in sorted(cheaper, key=lambda each: (each[0].core_hour, each[0].queue)):
        cores = door.takes
        for number, one in enumerate(rest):
            if one.task in fits:
                jobs = one.jobs if math.isinf(cores) else min(one.jobs, int(cores / one.cores + _ROUNDING))
                cores -= jobs * one.cores
                rest[number] = replace(one, jobs=one.jobs - jobs)
    return tuple(rest)
