"""A Pool on this machine with real payloads, contained as a test wants it, and the central that it talks to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commands.context import Capacity
from pilot import processes
from pilot.attempts.attempt import Services
from pilot.attempts.containment import Containment
from pilot.attempts.pool import Pool
from pilot.attempts.watchdog import Watchdog
from pilot.payloads import sharing
from pilot.payloads.families import Families
from pilot.payloads.process import ProcessElement
from pilot.protocol import AttemptReport, Settings
from pilot.states import PilotReason
from tests.pilot_fakes import FakeCentral, FakeNode, shell

MB = 1_000_000


class PoolBench:
    """The test's process is the agent."""

    def __init__(self, work: Path, containment: Containment, capacity: Capacity, **settings: Any) -> None:
        processes.become_subreaper()
        self.work = work
        self.central = FakeCentral()
        self.said: list[str] = []
        self.element = ProcessElement(Families(), sharing.best)
        self.watchdog = Watchdog(self.element.tend, lambda: self.pool.progress(), self.said.append)
        self.services = Services(
            central=self.central,
            sandboxes=self.central,
            element=self.element,
            watchdog=self.watchdog,
            host=dict(os.environ),
            random=lambda: 0.0,
            say=self.said.append,
            containment=containment,
        )
        self.pool = Pool("here", "test", work, Settings(**settings), FakeNode(), self.services)
        self.watchdog.start()
        self.pool.open(capacity, {"PATH": os.environ["PATH"]})

    def run(self, job: int, script: str, seconds: float = 30.0, **more: Any) -> AttemptReport:
        """Run a line of shell to its end."""
        self.pool.start(shell(job, script, **more))
        return self.central.end_of(job, seconds)

    def printed(self, job: int, name: str = "stdout") -> str:
        """What a payload that has ended printed."""
        return self.central.logs.get(f"job-{job}-1-{name}", b"").decode(errors="replace")

    def directory(self, job: int) -> Path:
        return self.work / "attempts" / f"{job}.1"

    def job_directory(self, job: int) -> Path:
        """Where its payload runs."""
        return self.directory(job) / "job"

    def wait_for_file(self, job: int, name: str) -> str:
        """What a payload wrote to a file, once it has written a whole line."""
        path = self.job_directory(job) / name
        self.central.wait_for(lambda: path.exists() and path.read_text().endswith("\n"), f"{path}")
        return path.read_text().strip()

    def wait_for_freed_cores(self, cores: int) -> None:
        end = time.monotonic() + 30
        while self.pool.offer().cores < cores:
            assert time.monotonic() < end, self.said
            self.pool.wait(0.1)

    def wait_until_empty(self) -> None:
        end = time.monotonic() + 30
        while self.pool.running():
            assert time.monotonic() < end, self.said
            self.pool.wait(0.1)


@contextmanager
def pool_bench(
    work: Path, containment: Containment | None = None, capacity: Capacity | None = None, **settings: Any
) -> Iterator[PoolBench]:
    """A Pool of four cores, unless another capacity is given; nothing of it is left afterwards."""
    whole = capacity or Capacity(cores=4, memory=4_000 * MB, disk=2_000 * MB, seconds_left="unlimited")
    bench = PoolBench(work, containment or Containment(), whole, **settings)
    try:
        yield bench
    finally:
        bench.pool.stop(PilotReason.HALTED, "the test ends", 0)
        bench.pool.close()
