"""The contract between the Pool and an inner computing element: what is to be run, and the handle of what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

from pilot.enclosures.ports import Enclosure
from pilot.errors import PilotageError
from pilot.payloads.slot_users import SlotUser
from pilot.states import Outcome


class CannotStart(PilotageError):
    """The payload cannot be started, and would not on a second try. `exit_code`: what a shell would say, 126 or 127."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Launch:
    """A payload that is to be started."""

    command: tuple[str, ...]
    directory: Path  # where it runs
    environment: Mapping[str, str]  # all of it
    stdout: Path  # files that are made, and written to as it prints
    stderr: Path
    marker: str  # a variable of the environment, as NAME=value, that no other payload has
    cpus: tuple[int, ...] = ()  # numbers of the CPUs that it may use; empty: any
    file_bound: Optional[int] = None  # bytes that one file may grow to
    cpu_bound: Optional[int] = None  # seconds of CPU time that one process may use
    processes: Optional[int] = None  # that it may have; holds by itself only with a user or an enclosure of its own
    user: Optional[SlotUser] = None  # as whom it runs; None: as the pilot does
    gains_rights: bool = False  # whether its set-user-id programs work though it has a user of its own
    enclosure: Optional[Enclosure] = None  # control groups that hold it
    spared: tuple[str, ...] = ()  # names of programs that hold it up, and are not asked to end


@dataclass(frozen=True)
class Ended:
    """How a payload ended, as the kernel tells."""

    exit_code: Optional[int]  # None when a signal ended it
    signal: Optional[int]
    cpu: float  # seconds, of it and of all that it waited for
    largest: Optional[int]  # bytes: the largest resident set among its processes, where that is known
    oom_kills: int = 0  # of its processes, by the kernel, at the memory bound of its enclosure
    starved: int = 0  # of its processes, by the kernel, because there was no memory at all
    outcome: Optional[Outcome] = None  # where there was no payload: what became of the attempt
    message: str = ""  # and why


@dataclass(frozen=True)
class Sample:
    """What a payload and everything that it started use right now."""

    processes: int
    cpu: float  # seconds so far
    memory: int  # bytes; what processes share counts once
    oom_kills: int = 0  # as in `Ended`, so far
    starved: int = 0


class Payload(Protocol):
    """A payload that was started. `wait` is called from one thread, once; the rest from any, also after its end."""

    def wait(self) -> Ended:
        """Block until the process that was started has ended. Others that it started may live on."""

    def sample(self) -> Sample:
        """Measure it."""

    def tell(self, number: int, program: str) -> int:
        """Send a signal to those of its processes that run this program (a glob), else to the one that was started.

        Returns to how many.
        """

    def terminate(self) -> None:
        """Ask every process of it to end: SIGTERM, once each."""

    def kill(self) -> None:
        """End every process of it, those that have got away included, as far as they can be seen at this moment."""

    def clear(self, seconds: float) -> int:
        """Kill until nothing of it is left, at most so long. Returns how many processes could not be ended."""

    def living(self) -> int:
        """How many processes of it there are."""


class InnerElement(Protocol):
    """Starts payloads. The process element is one, Singularity another."""

    def start(self, launch: Launch) -> Payload:
        """Start it. Raises `CannotStart`."""
