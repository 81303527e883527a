"""How many machines a queue should get that keeps some without looking at what waits, as Vac and Vcycle do: a pure
decision by what its pilots report at their ends.

A pilot that found a job is replaced at once. One that found none is the only word there is of an empty queue: then
nothing is started for a while, longer each time, and after that a single one goes to see. Where pilots end badly, or
the computing element does not take them, the queue is tried again as any other (`central/directors/backoff.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

from central.directors.backoff import Gate, Past, PilotEnd, rounds, way
from central.directors.control import Cause, Decision, Limits, Supply
from pilot.units import show_duration

#: Seconds of pause after a pilot that found nothing to do; doubled with each further one, up to the cap.
PAUSE, PAUSE_CAP = 600.0, 7200.0


def kept(keep: int, supply: Supply, limits: Limits, past: Past, now: float) -> Decision:
    """Decide, at a time in seconds since the epoch; `keep`: machines that there should be."""
    most = min(keep, limits.slots)
    missing = most - supply.live
    if missing <= 0:
        return Decision(0, f"each of the {most:,} machines that are kept is there", Cause.SLOTS)
    found = way(past, now)
    if found.gate is Gate.SHUT:
        cause = Cause(found.trouble.value) if found.trouble else Cause.BACK_OFF
        return Decision(0, found.why, cause, found.until, need=missing)
    idle = idle_ends(past)
    pause = _pause(idle, now)
    if pause is not None:
        return Decision(0, f"{_told(idle)}; trying again in {pause[1]}", Cause.NO_DEMAND, pause[0], need=missing)
    if idle or found.gate is Gate.HALF:
        why = found.why or _told(idle)
        if supply.coming:
            return Decision(0, f"{why}; a single one is on its way as a probe", Cause.BACK_OFF, need=missing)
        return Decision(1, f"{why}; one goes ahead as a probe", Cause.BACK_OFF, need=missing)
    count = min(missing, limits.per_cycle)
    return Decision(count, f"{count:,} of {most:,} machines that are kept {_are(count)} missing", need=missing)


def idle_ends(past: Past) -> Sequence[PilotEnd]:
    """The pilots that found nothing to do since the last that did, newest first."""
    ends = takewhile(lambda end: not end.useful and (past.good is None or end.ended > past.good), past.ends)
    return [end for end in ends if end.empty_handed]


def _pause(idle: Sequence[PilotEnd], now: float) -> tuple[float, str] | None:
    """Until when, and for how long still, nothing is started; None: there is no pause."""
    if not idle:
        return None
    until = idle[0].ended + min(PAUSE * 2 ** min(rounds(idle) - 1, 30), PAUSE_CAP)
    return (until, show_duration(math.ceil(until - now))) if until > now else None


def _told(idle: Sequence[PilotEnd]) -> str:
    return (
        "the last pilot found nothing to do" if len(idle) == 1 else f"the last {len(idle)} pilots found nothing to do"
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
