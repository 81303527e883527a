"""The port of a batch system: which programs are run with which arguments, and what their answers mean.

An implementation runs nothing itself: it is pure, and tested by captured answers. `central/elements/batch.py` makes a
computing element of it, on whatever host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request


@dataclass(frozen=True)
class Call:
    """A program to run. Its first word is looked for where the settings say.

    `environment` is the program's own beside that of its host: what a submit program is to pass on to jobs by name.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Door:
    """Which part of a batch system a queue stands for, in that system's own words."""

    partition: str = ""  # or queue
    account: str = ""  # or project
    extra: tuple[str, ...] = ()  # further arguments of its submit program (HTCondor: further lines)
    environment: tuple[tuple[str, str], ...] = ()  # of each pilot
    parallel_environment: str = ""  # of Grid Engine
    memory_resource: str = ""  # what a site calls it, where sites differ; empty: as usual
    gpu_resource: str = ""  # likewise
    schedd: str = ""  # of HTCondor, and the pool that knows where it is; empty: that of the host
    pool: str = ""
    spool: bool = False  # the schedd does not see the host's files: they are sent there, and fetched


@dataclass(frozen=True)
class Job:
    """A pilot as a batch job. `folder` is its own on the submit host and holds `wrapper.sh` and `secret`; what it
    prints goes to `output` there."""

    stamp: str
    folder: str
    request: Request

    @property
    def script(self) -> str:
        return f"{self.folder}/wrapper.sh"

    @property
    def output(self) -> str:
        return f"{self.folder}/output"


class BatchSystem(Protocol):
    """One batch system. `lag`: seconds for which a job that was taken may be missing from the list."""

    @property
    def lag(self) -> float: ...

    @property
    def shared(self) -> bool:
        """Whether jobs see the folder; else the batch system brings script and secret to where it starts them."""

    def submit(self, job: Job) -> Call:
        """How one job is handed over: never rerun by the system, found again by its stamp."""

    def reference(self, job: Job, ran: Ran) -> str:
        """What the system calls the job from now on. Raises `ComputingError` where it was not taken."""

    def list_calls(self) -> Sequence[Call]:
        """What is asked to list every job of ours: as many programs whether there are ten or ten thousand."""

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        """The jobs with a stamp, from the answers to these. Raises `ComputingError` where they do not tell."""

    def cancel(self, references: Sequence[str]) -> Call:
        """How jobs are ended."""

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        """Those of them that it did not end, but for those that are over or unknown."""

    def fetch(self, folder: str, reference: str) -> Call | None:
        """How what a job printed is brought into its folder; None where it is there by itself."""

    def forget(self, reference: str) -> Call | None:
        """How an ended job is taken off the system's list; None where that goes by itself."""


@runtime_checkable
class Recalling(Protocol):
    """What a batch system has in addition whose list does not say how a job ended, but that keeps it elsewhere."""

    def past(self, stamp: str) -> Call:
        """How it is asked what became of a pilot that has left no exit code."""

    def recalled(self, stamp: str, ran: Ran) -> Listed | None:
        """The job that ended, from the answer; None where there is none."""
