"""Jobs that cannot have one of their credentials for a while: no claim takes them; others of their queues go on.

A task queue is of one owner, so that the name of a credential says which is meant.
"""

from __future__ import annotations

from collections.abc import Mapping


class Resting:
    """Which credentials are away, by task queue, and why. One central's own: each finds out for itself."""

    def __init__(self) -> None:
        self._why: dict[int, dict[str, str]] = {}

    def begin(self, queue: int, name: str, why: str) -> bool:
        """Jobs of a task queue that name this rest from now on. Whether they did not before."""
        there = self._why.setdefault(queue, {})
        new = name not in there
        there[name] = why
        return new

    def end(self, queue: int, name: str) -> None:
        """They may be claimed again."""
        there = self._why.get(queue, {})
        there.pop(name, None)
        if not there:
            self._why.pop(queue, None)

    def names(self, queue: int) -> tuple[str, ...]:
        """The credentials of a task queue's owner that are away, for a claim to pass over the jobs that name one."""
        there = self._why.get(queue)
        return tuple(sorted(there)) if there else ()

    def of(self, queue: int) -> Mapping[str, str]:
        """The same, with why."""
        return self._why.get(queue, {})
