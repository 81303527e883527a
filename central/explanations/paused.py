"""Queues that would have pilots for a job and get none: an operator has paused them, or their directors cannot send
any now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from central.directors.control import Cause

#: Queue → who paused it and why, as `str(Pause)` says it.
Pauses = Mapping[str, str]
#: Queue → why no pilots of it come for now, as its director says it.
Stuck = Mapping[str, str]
#: What decisions come from after which no pilots come, or a single one to see whether more may.
SENDS_NONE = frozenset(
    {Cause.CLOSED, Cause.BACK_OFF, Cause.FULL, Cause.CREDENTIAL, Cause.UNREACHABLE, Cause.REFUSED},
)


def whose_pilots(queues: Sequence[str], pauses: Pauses, stuck: Stuck) -> str:
    """What is to be said of the queues whose pilots would have room for a job."""
    going = [name for name in queues if name not in pauses and name not in stuck]
    if going:
        return f"pilots of {', '.join(going)} would have"
    paused = [name for name in queues if name in pauses]
    said = [f"no more are sent: {stopped(paused, pauses)}"] if paused else []
    return "; ".join([*said, *(f"no pilots come from {name}: {stuck[name]}" for name in queues if name not in pauses)])


def stopped(queues: Sequence[str], pauses: Pauses) -> str:
    """Paused queues, each with who paused it and why."""
    return "; ".join(f"the queue {name} is {pauses[name]}" for name in queues)


def warning(fitting: Sequence[str], pauses: Pauses) -> str | None:
    """What is told to one who submits a job that would fit so many queues; None where one of them gets pilots."""
    if not fitting or any(name not in pauses for name in fitting):
        return None
    return f"every queue that could run it is paused, so that no pilots are sent: {stopped(fitting, pauses)}"
