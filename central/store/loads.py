"""What a virtual machine has had to do over its life: samples of what its pilot says every minute.

Pure, and the same for every store. Their number is bounded: the longer the machine lives, the further apart they
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeGuard

from pilot.protocol import Fact
from pilot.views import MachineLoad

#: Seconds between two samples at least: as often as pilots say it.
LEAST = 60.0
#: Spans between samples in the whole of a machine's life: the seconds of each are doubled until it has no more.
SPANS = 120
#: More than any load, number of jobs or disk: what a pilot says beyond is none.
MOST = 10**18
#: What is said every so many seconds comes a little sooner or later.
EARLY = 0.9


def sampled(history: Sequence[MachineLoad], facts: Iterable[Fact], now: float) -> tuple[MachineLoad, ...]:
    """The samples after these facts, which came at a time in seconds since the epoch. Facts without a load add none."""
    said = {fact.name: fact.value for fact in facts}
    load = said.get("load_1")
    if not is_number(load):
        return tuple(history)
    newest = MachineLoad(now, float(load), _whole(said.get("jobs")), _whole(said.get("disk_free")))
    apart = _apart(now - history[0].time if history else 0.0) * EARLY
    kept: list[MachineLoad] = []
    for sample in (*history, newest):
        if not kept or sample.time - kept[-1].time >= apart:
            kept.append(sample)
    return tuple(kept)


def _apart(life: float) -> float:
    """Seconds between two samples of so long a life."""
    apart = LEAST
    while life > apart * SPANS:
        apart *= 2
    return apart


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it may be a load, a number of jobs, or bytes of a disk."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MOST


def _whole(value: object) -> int | None:
    return int(value) if is_number(value) else None
