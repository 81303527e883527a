"""What every part of the client builds on: a question, and its answer as a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pilotage.transport import Clock, Request, Transport

T = TypeVar("T")
Given = Mapping[str, str | int | None]


class Asking:
    """One who asks a central."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock

    def _get(self, kind: type[T], path: str, query: Given | None = None) -> T:
        """Ask for a record; what is None or empty in the query is left out."""
        given = {name: value for name, value in (query or {}).items() if value is not None and value != ""}
        return self._transport.ask(kind, Request("GET", path, given))


def joined(values: Iterable[object]) -> str:
    """A list as the central reads it in a query."""
    return ",".join(str(value) for value in values)
