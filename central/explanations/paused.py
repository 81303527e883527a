"""Queues that would have pilots for a job and get none, because an operator has paused them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Queue → who paused it and why, as `str(Pause)` says it.
Pauses = Mapping[str, str]


def whose_pilots(queues: Sequence[str], pauses: Pauses) -> str:
    """What is to be said of the queues whose pilots would have room for a job."""
    going = [name for name in queues if name not in pauses]
    if going:
        return f"pilots of {', '.join(going)} would have"
    return f"no more are sent: {stopped(queues, pauses)}"


def stopped(queues: Sequence[str], pauses: Pauses) -> str:
    """Paused queues, each with who paused it and why."""
    return "; ".join(f"the queue {name} is {pauses[name]}" for name in queues)


def warning(fitting: Sequence[str], pauses: Pauses) -> str | None:
    """What is told to one who submits a job that would fit so many queues; None where one of them gets pilots."""
    if not fitting or any(name not in pauses for name in fitting):
        return None
    return f"every queue that could run it is paused, so that no pilots are sent: {stopped(fitting, pauses)}"
