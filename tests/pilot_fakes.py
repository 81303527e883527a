"""The pilot's surroundings in memory, for tests of the agent: a central that writes down what it is told.

Written for Python 3.9, since the pilot's tests also run under the Pythons of nodes.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from commands.context import Orders
from pilot.errors import Refusal, TransportError
from pilot.protocol import (
    AttemptReport,
    Fact,
    InputFile,
    JobSpec,
    Lease,
    LeaseReport,
    MatchReply,
    Needs,
    Offer,
    OutputRule,
    StepReport,
)
from pilot.states import Phase
from tests.patience import PATIENCE


class FakeCentral:
    """Central and sandboxes at once. `problems` are raised by the next calls of `fetch` and `store`, one each."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.replies: list[MatchReply] = []  # what `match` answers, in order; then nothing
        self.offers: list[Offer] = []
        self.reports: list[tuple[int, int, AttemptReport]] = []
        self.released: list[tuple[Lease, str]] = []
        self.steps: list[StepReport] = []
        self.facts_told: list[Fact] = []
        self.progressed: list[Sequence[LeaseReport]] = []
        self.logs: dict[str, bytes] = {}
        self.streams: dict[str, Path] = {}
        self.receiver: Orders | None = None
        self.files: dict[str, bytes] = {}  # by SHA-256
        self.problems: list[TransportError | Refusal] = []
        self.ticks = 0
        self.lifetimes: list[int] = []

    # -- commands.context.Central -------------------------------------------------------------------------------------

    def match(self, offer: Offer, most: int, wait: float) -> MatchReply:
        with self.changed:
            self.offers.append(offer)
            self.changed.notify_all()
            return self.replies.pop(0) if self.replies else MatchReply(0, reason="nothing-waits", retry_after=1)

    def report(self, job: int, attempt: int, report: AttemptReport) -> None:
        with self.changed:
            self.reports.append((job, attempt, report))
            self.changed.notify_all()

    def release(self, leases: Sequence[Lease], why: str) -> None:
        with self.changed:
            self.released += [(lease, why) for lease in leases]
            self.changed.notify_all()

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def facts(self, facts: Sequence[Fact]) -> None:
        self.facts_told += facts

    def progress(self, leases: Sequence[LeaseReport]) -> None:
        self.progressed.append(leases)

    def lifetime(self, seconds: int) -> None:
        self.lifetimes.append(seconds)

    def tick(self) -> None:
        self.ticks += 1

    def stream(self, name: str, path: Path) -> None:
        self.streams[name] = path

    def close_stream(self, name: str) -> None:
        with self.streams[name].open("rb") as file:
            self.logs[name] = file.read(1_000_000)

    def orders(self, receiver: Orders) -> None:
        self.receiver = receiver

    # -- commands.context.Sandboxes -----------------------------------------------------------------------------------

    def fetch(self, lease: Lease, sha256: str, size: int, target: Path) -> None:
        self._meet_problem()
        if sha256 not in self.files:
            raise Refusal("not-found", f"there is no file {sha256}")
        target.write_bytes(self.files[sha256])

    def store(self, lease: Lease, source: Path, sha256: str, size: int) -> None:
        self._meet_problem()
        self.files[sha256] = source.read_bytes()

    def _meet_problem(self) -> None:
        with self.changed:
            if self.problems:
                raise self.problems.pop(0)

    # -- for the test -------------------------------------------------------------------------------------------------

    def add(self, name: str, content: bytes, executable: bool = False) -> InputFile:
        """An input that can be fetched."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.files[sha256] = content
        return InputFile(name, sha256, len(content), executable)

    def wait_for(self, found: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        """Wait until something is so, and fail when it does not become so."""
        end = time.monotonic() + PATIENCE * seconds
        with self.changed:
            while not found():
                assert time.monotonic() < end, f"waited {seconds} s for {what}: {self.reports}"
                self.changed.wait(0.05)

    def end_of(self, job: int, seconds: float = 30.0) -> AttemptReport:
        """How a job's attempt ended, once it has."""
        found: list[AttemptReport] = []

        def ended() -> bool:
            found[:] = [told for number, _, told in self.reports if number == job and told.phase is Phase.ENDED]
            return bool(found)

        self.wait_for(ended, f"the end of job {job}", seconds)
        return found[0]

    def phases(self, job: int) -> list[Phase]:
        return [report.phase for number, _, report in self.reports if number == job]

    def outputs(self, report: AttemptReport) -> dict[str, bytes]:
        """Name → content of what a report says was brought home."""
        return {output.name: self.files[output.sha256] for output in report.outputs}


class FakeNode:
    """A machine with as much free disk as there is."""

    def facts(self) -> tuple[Fact, ...]:
        return (Fact("cores", 2, "a test"),)

    def free_disk(self, path: Path) -> int | None:
        return shutil.disk_usage(path).free

    def power(self) -> float | None:
        return None

    def measure_power(self, tell: Callable[[Fact], None]) -> None: ...


def make_lease(job: int, *words: str, attempt: int = 1, cores: int = 0, **spec: object) -> Lease:
    """A lease whose command is these words. Lists of outputs may be patterns."""
    outputs = tuple(OutputRule(str(pattern)) for pattern in spec.pop("outputs", ()))  # type: ignore[attr-defined]
    defaults: dict[str, object] = {"needs": Needs(wall_time=60), "grace": 1}
    made = JobSpec(command=words, outputs=outputs, **{**defaults, **spec})  # type: ignore[arg-type]
    return Lease(job, attempt, seconds=600, spec=made, job_token=f"token-of-{job}-{attempt}", cores=cores)


def shell(job: int, script: str, **more: object) -> Lease:
    """A lease whose payload is a line of shell."""
    return make_lease(job, "/bin/sh", "-c", script, **more)  # type: ignore[arg-type]
