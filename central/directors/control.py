"""How many pilots a queue should get now: a pure decision, with its reason as a sentence.

Supply counts every pilot that may still turn up, unknown states included. Demand is what is left when the pilots on
their way to other queues have taken theirs (`central/directors/board.py`). `central/directors/backoff.py` says whether
the queue may be tried at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from central.directors.backoff import Gate, Past, Way, way

#: Of the running pilots, the part whose worth of jobs they may take themselves before a new one is there: demand of no
#: more than that is believed when it is seen twice.
BAND = 0.05


class Cause(StrEnum):
    """What a decision comes from, in one word."""

    NEW = "new"  # the director has not looked yet
    CLOSED = "closed"  # paused or banned by a person, or its pilots could not run
    NO_DEMAND = "no-demand"
    ELSEWHERE = "elsewhere"  # pilots on their way to other queues will do
    SLOTS = "slots"
    COMING = "coming"
    IDLE = "idle"
    BRIEF = "brief"  # seen once, and little
    BACK_OFF = "back-off"  # pilots ended badly
    FULL = "full"  # and the next three: the computing element's trouble
    CREDENTIAL = "credential"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    SENT = "sent"


@dataclass(frozen=True)
class Demand:
    """Waiting jobs that the queue's offer would match, and the cores that they ask for at least."""

    jobs: int
    cores: int
    elsewhere: int = 0  # further jobs, for which pilots are on their way to other queues
    cheaper: int = 0  # further jobs, for which cheaper queues come first


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
class Decision:
    """So many pilots, and why not more."""

    pilots: int
    why: str
    cause: Cause = Cause.SENT
    until: float | None = None  # when a queue that is shut is tried again, in seconds since the epoch
    need: int = 0  # pilots that would be wanted if nothing stood in the way


def wanted(demand: Demand, supply: Supply, limits: Limits, past: Past, now: float) -> Decision:
    """Decide, at a time in seconds since the epoch."""
    if not demand.jobs:
        if demand.cheaper:
            waiting = _waiting(Demand(demand.cheaper, 0))
            return Decision(0, f"cheaper queues come first for {waiting}", Cause.ELSEWHERE)
        if demand.elsewhere:
            waiting = _waiting(Demand(demand.elsewhere, 0))
            return Decision(0, f"pilots on the way to other queues will do for {waiting}", Cause.ELSEWHERE)
        return Decision(0, "no waiting job fits this queue", Cause.NO_DEMAND)
    room = limits.slots - supply.live
    if room <= 0:
        return Decision(0, f"each of the queue's {_count(limits.slots, 'slot')} has a pilot", Cause.SLOTS)
    cores = max(1, limits.cores)
    open_cores = demand.cores - supply.idle_cores - supply.coming * cores
    if open_cores <= 0:
        return _enough(demand, supply)
    found = way(past, now)
    if found.gate is Gate.SHUT:
        return Decision(0, found.why, _cause(found), found.until)
    if found.gate is Gate.HALF and found.trouble is None and supply.coming:
        return Decision(0, f"{found.why}; a single one is on its way as a probe", _cause(found))
    need = math.ceil(open_cores / cores)
    sure = need if need > BAND * (supply.live - supply.coming) else min(need, past.need or 0)
    if not sure:
        return Decision(
            0, f"the running pilots may take {_waiting(demand)} before another is there", Cause.BRIEF, need=need
        )
    if found.gate is Gate.HALF:
        count = min(sure, room, limits.per_cycle, 1)
        return Decision(count, f"{found.why}; one goes ahead as a probe", _cause(found), need=need)
    return _sent(demand, sure, room, limits, need)


def _sent(demand: Demand, sure: int, room: int, limits: Limits, need: int) -> Decision:
    count = min(sure, room, limits.per_cycle)
    if count < sure:
        most = limits.slots if room <= limits.per_cycle else limits.per_cycle
        bound = _count(most, "slot") if room <= limits.per_cycle else f"{_count(most, 'submission')} a cycle"
        allow = "allows" if most == 1 else "allow"
        return Decision(count, f"{sure} pilots would serve {_waiting(demand)}, {bound} {allow} {count}", need=need)
    return Decision(count, f"{_count(count, 'pilot')} will serve {_waiting(demand)}", need=need)


def _enough(demand: Demand, supply: Supply) -> Decision:
    if supply.coming:
        why = f"{_count(supply.coming, 'pilot')} on the way will do for {_waiting(demand)}"
        return Decision(0, why, Cause.COMING)
    why = f"the running pilots have {_count(supply.idle_cores, 'core')} free for {_waiting(demand)}"
    return Decision(0, why, Cause.IDLE)


def _cause(found: Way) -> Cause:
    return Cause(found.trouble.value) if found.trouble else Cause.BACK_OFF


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _waiting(demand: Demand) -> str:
    return f"the {_count(demand.jobs, 'job')} that wait{'s' if demand.jobs == 1 else ''}"
