"""How many pilots a queue should get now: a pure decision, with its reason as a sentence.

Supply counts every pilot that may still turn up, unknown states included. Pilots that ended badly one after another
(never called back, failed early, sent home by the site) slow the next submission down; when the pause is over a single
pilot goes ahead as a probe, and its success opens the queue again. What an operator ordered is no bad end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from pilot.catalogue import BackOff, entry
from pilot.codes import of_pilot
from pilot.states import SITE_DRAINS, PilotReason
from pilot.units import show_duration

#: Seconds of pause after the first bad end; doubled with each further one, up to the cap.
PAUSE = 10.0
PAUSE_CAP = 1800.0
#: The same where it will be so until a person has done something.
LONG_PAUSE = 120.0


@dataclass(frozen=True)
class Demand:
    """Waiting jobs that the queue's offer would match, and the cores that they ask for at least."""

    jobs: int
    cores: int


@dataclass(frozen=True)
class Supply:
    """The queue's pilots."""

    live: int  # every one that may still work
    coming: int  # of these, not yet enrolled
    idle_cores: int  # free now on running pilots


@dataclass(frozen=True)
class Limits:
    """What the operator allows."""

    slots: int  # pilots at a time
    per_cycle: int  # submissions in one cycle: the ramp
    cores: int  # of one pilot


@dataclass(frozen=True)
class PilotEnd:
    """How one pilot of the queue ended. `useful`: it had at least one job."""

    ended: float  # seconds since the epoch
    reason: PilotReason | None
    useful: bool
    message: str = ""  # a line that says more

    @property
    def bad(self) -> bool:
        """Whether another would end likewise, as far as one knows."""
        return self.back_off is not BackOff.NONE

    @property
    def back_off(self) -> BackOff:
        """What the catalogue of errors says of it."""
        found = entry(of_pilot(self.reason or PilotReason.GONE, self.message))
        return (found and found.back_off) or BackOff.SLOW

    @property
    def site_drains(self) -> bool:
        """Whether the site had it end, and not an order."""
        return self.reason is PilotReason.DRAINED and self.message.startswith(SITE_DRAINS)


@dataclass(frozen=True)
class Decision:
    """So many pilots, and why not more."""

    pilots: int
    why: str


def bad_ends(history: Sequence[PilotEnd]) -> Sequence[PilotEnd]:
    """The pilots that ended badly since the last good one; `history` is newest first."""
    return [end for end in takewhile(lambda end: not end.useful, history) if end.bad]


def pause(bad: int, back_off: BackOff = BackOff.SLOW) -> float:
    """Seconds to wait after that many bad ends in a row, the newest of that kind."""
    first = LONG_PAUSE if back_off is BackOff.LONG else PAUSE
    return min(first * 2 ** (bad - 1), PAUSE_CAP) if bad else 0.0


def wanted(demand: Demand, supply: Supply, limits: Limits, history: Sequence[PilotEnd], now: float) -> Decision:
    """Decide. `history` holds the queue's ended pilots, newest first; `now` is in seconds since the epoch."""
    if not demand.jobs:
        return Decision(0, "no waiting job fits this queue")
    room = limits.slots - supply.live
    if room <= 0:
        return Decision(0, f"each of the queue's {_count(limits.slots, 'slot')} has a pilot")
    cores = max(1, limits.cores)
    open_cores = demand.cores - supply.idle_cores - supply.coming * cores
    if open_cores <= 0:
        if supply.coming:
            return Decision(0, f"{_count(supply.coming, 'pilot')} on the way will do for {_waiting(demand)}")
        return Decision(0, f"the running pilots have {_count(supply.idle_cores, 'core')} free for {_waiting(demand)}")
    bad = bad_ends(history)
    remaining = bad[0].ended + pause(len(bad), bad[0].back_off) - now if bad else 0.0
    if remaining > 0:
        return Decision(0, f"{_told(bad)}; trying again in {show_duration(math.ceil(remaining))}")
    if bad and supply.coming:
        return Decision(0, f"{_told(bad)}; a single one is on its way as a probe")
    need = math.ceil(open_cores / cores)
    count = min(need, room, limits.per_cycle)
    if bad:
        return Decision(min(count, 1), f"{_told(bad)}; one goes ahead as a probe")
    if count < need:
        most = limits.slots if room <= limits.per_cycle else limits.per_cycle
        bound = _count(most, "slot") if room <= limits.per_cycle else f"{_count(most, 'submission')} a cycle"
        allow = "allows" if most == 1 else "allow"
        return Decision(count, f"{need} pilots would serve {_waiting(demand)}, {bound} {allow} {count}")
    return Decision(count, f"{_count(count, 'pilot')} will serve {_waiting(demand)}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _waiting(demand: Demand) -> str:
    return f"the {_count(demand.jobs, 'job')} that wait{'s' if demand.jobs == 1 else ''}"


def _told(bad: Sequence[PilotEnd]) -> str:
    """How they ended, in the words of the newest."""
    newest = bad[0]
    number = "pilot" if len(bad) == 1 else f"{len(bad)} pilots"
    if newest.site_drains:
        return f"{newest.message}: the last {number} ended without a job"
    why = newest.message or (newest.reason.value if newest.reason else "no word")
    if newest.reason and not why.startswith(newest.reason.value):
        why = f"{newest.reason.value}: {why}"
    return f"the last {number} ended badly ({why})"
