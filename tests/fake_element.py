"""A computing element in memory, that does to directors what real ones do: it lags, lies, hangs, refuses, forgets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble


@dataclass
class FakeJob:
    """What was submitted."""

    stamp: str
    secret: str
    since: float
    standing: Standing = Standing.QUEUED
    exit_code: int | None = None
    why: str = ""


class FakeElement:
    """Takes everything, until a test says otherwise. `clock` gives seconds; `lag` is what it says of its list."""

    def __init__(self, clock: Callable[[], float], lag: float = 0.0) -> None:
        self.clock = clock
        self.lag = lag
        self.hides = lag  # seconds for which its list really lacks what was submitted
        self.jobs: dict[str, FakeJob] = {}  # by reference
        self.calls: Counter[str] = Counter()
        self.trouble: dict[str, ComputingError] = {}  # verb → what it says instead
        self.refuses: dict[int, ComputingError] = {}  # of a submission, by its place: what it says instead
        self.loses: set[int] = set()  # of a submission, by its place: the answers that never arrive
        self.room: int | None = None  # submissions that it takes at a time
        self.hangs: asyncio.Event | None = None  # until this is set
        self.printed: dict[str, bytes] = {}
        self.numbers = 0

    async def _asked(self, verb: str) -> None:
        self.calls[verb] += 1
        if self.hangs:
            await self.hangs.wait()
        if verb in self.trouble:
            raise self.trouble[verb]

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        await self._asked("submit")
        answers: dict[str, str | ComputingError] = {}
        for place, submission in enumerate(submissions):
            if place in self.refuses:
                answers[submission.stamp] = self.refuses[place]
            elif self.room is not None and self.queued >= self.room:
                answers[submission.stamp] = ComputingError("quota exceeded", Trouble.FULL)
            else:
                self.numbers += 1
                reference = str(self.numbers)
                self.jobs[reference] = FakeJob(submission.stamp, submission.secret, self.clock())
                if place not in self.loses:
                    answers[submission.stamp] = reference
        return answers

    @property
    def queued(self) -> int:
        return sum(job.standing is not Standing.ENDED for job in self.jobs.values())

    @property
    def live(self) -> list[FakeJob]:
        """What has not ended."""
        return [job for job in self.jobs.values() if job.standing is not Standing.ENDED]

    async def listing(self) -> Sequence[Listed]:
        await self._asked("listing")
        now = self.clock()
        return [
            Listed(job.stamp, reference, job.standing, job.exit_code, job.why)
            for reference, job in self.jobs.items()
            if now - job.since >= self.hides
        ]

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        await self._asked("cancel")
        for reference in references:
            if reference in self.jobs:
                self.jobs[reference].standing = Standing.ENDED
        return {}

    async def output(self, stamp: str, reference: str) -> bytes:
        await self._asked("output")
        return self.printed.get(stamp, b"")

    async def forget(self, stamp: str, reference: str) -> None:
        await self._asked("forget")
        self.jobs.pop(reference, None)

    async def capacity(self) -> int | None:
        return None

    async def close(self) -> None:
        pass

    def secret_file(self, stamp: str) -> str:
        return ""

    def work_base(self, stamp: str) -> str | None:
        return None

    def exit_file(self, stamp: str) -> str | None:
        return None
