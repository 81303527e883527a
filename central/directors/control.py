"""How many pilots a queue should get now: a pure decision, with its reason as a sentence.

Supply counts every pilot that may still turn up, unknown states included. Pilots that ended badly one after another
(never called back, failed early, found nothing) slow the next submission down; when the pause is over a single pilot
goes ahead as a probe, and its success opens the queue again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pilot.states import FAULTS, PilotReason

#: Seconds of pause after the first bad end; doubled with each further one, up to the cap.
PAUSE = 10.0
PAUSE_CAP = 1800.0


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


@dataclass(frozen=True)
class Decision:
    """So many pilots, and why not more."""

    pilots: int
    why: str


def bad_ends(history: Sequence[PilotEnd]) -> int:
    """How many pilots ended badly since the last good one; `history` is newest first."""
    count = 0
    for end in history:
        if end.useful:
            break
        if end.reason is None or end.reason in FAULTS or end.reason is PilotReason.GONE:
            count += 1
    return count


def pause(bad: int) -> float:
    """Seconds to wait after that many bad ends in a row."""
    return min(PAUSE * 2 ** (bad - 1), PAUSE_CAP) if bad else 0.0


def wanted(demand: Demand, supply: Supply, limits: Limits, history: Sequence[PilotEnd], now: float) -> Decision:
    """Decide. `history` holds the queue's ended pilots, newest first; `now` is in seconds since the epoch."""
    if not demand.jobs:
        return Decision(0, "no waiting job fits this queue")
    room = limits.slots - supply.live
    if room <= 0:
        return Decision(0, f"all {limits.slots} slots of the queue have a pilot")
    cores = max(1, limits.cores)
    open_cores = demand.cores - supply.idle_cores - supply.coming * cores
    if open_cores <= 0:
        if supply.coming:
            return Decision(0, f"{supply.coming} pilots on their way are enough for the {demand.jobs} jobs that wait")
        return Decision(
            0, f"the running pilots have {supply.idle_cores} cores free for the {demand.jobs} jobs that wait"
        )
    bad = bad_ends(history)
    remaining = history[0].ended + pause(bad) - now if bad else 0.0
    if remaining > 0:
        return Decision(0, f"the last {bad} pilots ended badly ({_named(history)}); trying again in {remaining:.0f} s")
    if bad and supply.coming:
        return Decision(0, f"the last {bad} pilots ended badly; a single one is on its way as a probe")
    need = math.ceil(open_cores / cores)
    count = min(need, room, limits.per_cycle)
    if bad:
        return Decision(1, f"the last {bad} pilots ended badly; one goes ahead as a probe")
    if count < need:
        bound = f"{limits.slots} slots" if room <= limits.per_cycle else f"{limits.per_cycle} submissions a cycle"
        return Decision(count, f"{demand.jobs} jobs wait; {need} pilots would serve them, {bound} allow {count}")
    return Decision(count, f"{demand.jobs} jobs wait; {count} pilots will serve them")


def _named(history: Sequence[PilotEnd]) -> str:
    reason = history[0].reason
    return reason.value if reason else "no word"
