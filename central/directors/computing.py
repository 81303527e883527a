"""The port of every outer computing element: what a director submits pilots to.

One contract (`tests/contract/test_computing.py`): submissions are told apart by stamp, which can be found at the
computing element; an answer that did not come is unknown and never taken for "gone"; failures are per item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pilot.errors import PilotageError


class ComputingError(PilotageError):
    """The computing element refused or could not be asked. `transient`: trying again makes sense."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class Standing(StrEnum):
    """Where a submission stands at the computing element."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"  # it did not say: nothing follows from it


@dataclass(frozen=True)
class Submission:
    """One pilot to submit: a script to run, and the one-time secret that travels beside it, never inside."""

    stamp: str
    script: str
    secret: str
    cores: int
    memory: int | None = None  # bytes
    wall_time: int | None = None  # seconds


@dataclass(frozen=True)
class Listed:
    """One submission of ours, as the computing element lists it."""

    stamp: str
    reference: str
    standing: Standing
    exit_code: int | None = None


class ComputingElement(Protocol):
    """What every adapter does. `lag`: seconds for which a submission that was taken may be missing from `listing`."""

    @property
    def lag(self) -> float: ...

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        """Hand pilots over. Returns the reference of each stamp, or why it was not taken."""

    async def listing(self) -> Sequence[Listed]:
        """Everything of ours that the computing element still knows. Raises `ComputingError` when it cannot tell."""

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        """End submissions; one that is over or unknown is no error. Returns the failures."""

    async def output(self, reference: str) -> bytes:
        """What the submission printed, bounded to its last megabyte."""

    async def forget(self, reference: str) -> None:
        """Remove what is kept of an ended submission."""

    async def capacity(self) -> int | None:
        """How many more submissions would be taken; None: no bound is known."""

    def secret_file(self, stamp: str) -> str:
        """Where the wrapper finds its one-time secret."""

    def work_base(self, stamp: str) -> str | None:
        """The folder under which the pilot works; None: the batch system's scratch space, found by the wrapper."""

    def exit_file(self, stamp: str) -> str | None:
        """Where the wrapper leaves its exit code, for computing elements that do not keep it."""
