"""The port of every outer computing element: what a director submits pilots to.

One contract for all: submissions are told apart by stamp, which can be found at the computing element; an answer that
did not come is unknown and never taken for "gone"; failures are per item; nothing is started twice by the element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pilot.errors import PilotageError


class Trouble(StrEnum):
    """Why a computing element did not do what it was asked."""

    REFUSED = "refused"  # it said no to this one, and would again
    UNREACHABLE = "unreachable"  # it did not answer in time, or not so that it could be understood
    FULL = "full"  # a quota or a limit of its own: later
    CREDENTIAL = "credential"  # it does not take us for who we say we are, or no credential of ours is good


class ComputingError(PilotageError):
    """The computing element refused or could not be asked."""

    def __init__(self, message: str, trouble: Trouble) -> None:
        super().__init__(message)
        self.trouble = trouble

    @property
    def transient(self) -> bool:
        """Whether trying again makes sense."""
        return self.trouble is not Trouble.REFUSED


class Standing(StrEnum):
    """Where a submission stands at the computing element."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"  # it did not say: nothing follows from it


@dataclass(frozen=True)
class Request:
    """What one pilot asks of the computing element. Bytes and seconds."""

    cores: int = 1
    memory: int | None = None  # of all cores together
    disk: int | None = None  # likewise; only some systems share it out
    gpus: int = 0
    wall_time: int | None = None
    whole_node: bool = False  # `cores` is then what such a node has, for those that must be told


@dataclass(frozen=True)
class Submission:
    """One pilot to submit: a script to run, and the one-time secret that travels beside it, never inside."""

    stamp: str
    script: str = field(repr=False)  # it carries the ticket of the boot log
    secret: str = field(repr=False)
    request: Request = field(default_factory=Request)


@dataclass(frozen=True)
class Listed:
    """One submission of ours, as the computing element lists it."""

    stamp: str
    reference: str
    standing: Standing
    exit_code: int | None = None
    why: str = ""  # in the computing element's own words: what it waits for, or how it ended


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

    async def output(self, stamp: str, reference: str) -> bytes:
        """What the submission printed, bounded to its last megabyte. Raises `ComputingError` when it cannot be had."""

    async def forget(self, stamp: str, reference: str) -> None:
        """Remove what is kept of an ended submission. Raises `ComputingError`."""

    async def capacity(self) -> int | None:
        """How many more submissions would be taken; None: no bound is known. Raises `ComputingError`."""

    async def close(self) -> None:
        """Let go of connections. Nothing is asked of it any more."""

    def secret_file(self, stamp: str) -> str:
        """Where the wrapper finds its one-time secret; a relative path is from where it is started."""

    def work_base(self, stamp: str) -> str | None:
        """The folder under which the pilot works; None: the batch system's scratch space, found by the wrapper."""

    def exit_file(self, stamp: str) -> str | None:
        """Where the wrapper leaves its exit code, for computing elements that do not keep it."""
