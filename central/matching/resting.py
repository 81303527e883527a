"""Jobs that cannot have one of their credentials for a while: no claim takes them; others of their queues go on.

A task queue is of one owner, so that the name of a credential says which is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Credential: TypeAlias = tuple[str, str, str]  # community, owner, name


class Resting:
    """Which credentials are away, by task queue, and why. One central's own: each finds out for itself."""

    def __init__(self) -> None:
        self._why: dict[int, dict[str, str]] = {}
        self._queues: dict[Credential, set[int]] = {}  # those of which jobs rest

    def begin(self, queue: int, credential: Credential, why: str) -> bool:
        """Jobs of a task queue that name this rest from now on. Whether none of any queue did before."""
        new = credential not in self._queues
        self._queues.setdefault(credential, set()).add(queue)
        self._why.setdefault(queue, {})[credential[2]] = why
        return new

    def end(self, credential: Credential) -> None:
        """They may be claimed again, of whatever queue."""
        for queue in self._queues.pop(credential, ()):
            del self._why[queue][credential[2]]
            if not self._why[queue]:
                del self._why[queue]

    def names(self, queue: int) -> tuple[str, ...]:
        """The credentials of a task queue's owner that are away, for a claim to pass over the jobs that name one."""
        there = self._why.get(queue)
        return tuple(sorted(there)) if there else ()

    def of(self, queue: int) -> Mapping[str, str]:
        """The same, with why."""
        return self._why.get(queue, {})
