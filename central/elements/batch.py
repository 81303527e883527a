"""A batch system as a computing element, on this host or on one reached by SSH.

Each pilot has a folder of its own on the submit host. It is made before the job is submitted and removed when the pilot
is forgotten: the folder says which of the jobs of an account are ours, and keeps the exit code when the batch system no
longer does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from central.elements import places
from central.elements.host import Host, Ran
from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble
from central.elements.system import BatchSystem, Call, Job, Recalling

#: Programs that run at the same time for one queue: half of what runs over a connection by SSH, which others share.
AT_ONCE = 4
#: Pilots that a batch system is asked about one by one, each time its jobs are listed.
MOST_RECALLED = 10


class BatchElement:
    """Submits pilots as jobs of `system`, by its programs on `host`; `folder` is absolute, there.

    `programs` is where they lie, empty where the search path has them.
    """

    def __init__(self, host: Host, system: BatchSystem, folder: str, programs: str = "") -> None:
        self.host = host
        self.system = system
        self.folder = folder
        self.programs = programs
        self._room = asyncio.Semaphore(AT_ONCE)
        self._recalls = 0  # questions about what became of a pilot

    @property
    def lag(self) -> float:
        return self.system.lag

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        failed = await self._lay_out(submissions) if submissions else {}
        laid_out = [submission for submission in submissions if submission.stamp not in failed]
        taken = await asyncio.gather(*map(self._submit, laid_out))
        return {**failed, **{submission.stamp: result for submission, result in zip(laid_out, taken, strict=True)}}

    async def _lay_out(self, submissions: Sequence[Submission]) -> dict[str, ComputingError]:
        """Make their folders. Returns those that could not be made, which keep no other from being made."""
        try:
            ran = await self._plainly(places.fill(self.folder, submissions))
        except ComputingError as error:
            return {submission.stamp: error for submission in submissions}
        if not ran.code:
            return {}
        if len(submissions) == 1:
            return {submissions[0].stamp: self._failure(ran, "the folder of a pilot cannot be made")}
        alone = [await self._lay_out([submission]) for submission in submissions]
        return {stamp: error for failed in alone for stamp, error in failed.items()}

    async def _submit(self, submission: Submission) -> str | ComputingError:
        job = Job(submission.stamp, f"{self.folder}/{submission.stamp}", submission.request)
        try:
            return self.system.reference(job, await self._program(self.system.submit(job)))
        except ComputingError as error:
            return error

    async def listing(self) -> Sequence[Listed]:
        # The folders last: a job that ends while we ask has left its code by then.
        answers = await asyncio.gather(*(self._program(call) for call in self.system.list_calls()))
        jobs = {entry.stamp: entry for entry in self.system.listed(answers)}
        codes = places.listed((await self._must(places.list_all(self.folder), "the folders cannot be read")).output)
        found = {stamp: _merged(stamp, jobs.get(stamp), code) for stamp, code in codes.items()}
        found |= await self._recalled([stamp for stamp, entry in found.items() if _unexplained(entry)])
        return [entry for entry in found.values() if entry]

    async def _recalled(self, stamps: Sequence[str]) -> Mapping[str, Listed]:
        """What became of these, where the batch system can be asked; a few each time, all in their turn."""
        system = self.system
        if not stamps or not isinstance(system, Recalling):
            return {}
        first = self._recalls % len(stamps)
        self._recalls += MOST_RECALLED
        asked = [*stamps[first:], *stamps[:first]][:MOST_RECALLED]
        try:
            answers = await asyncio.gather(*(self._program(system.past(stamp)) for stamp in asked))
            told = [system.recalled(stamp, ran) for stamp, ran in zip(asked, answers, strict=True)]
        except ComputingError:  # the list has answered, and what it said stands
            return {}
        return {entry.stamp: entry for entry in told if entry}

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        asked = [reference for reference in references if reference]
        if not asked:
            return {}
        try:
            return self.system.not_cancelled(asked, await self._program(self.system.cancel(asked)))
        except ComputingError as error:
            return dict.fromkeys(asked, error)

    async def output(self, stamp: str, reference: str) -> bytes:
        folder = f"{self.folder}/{_plain(stamp)}"
        if reference and (fetch := self.system.fetch(folder, reference)):
            await self._program(fetch)
        return (await self._must(places.tail(folder), "its output cannot be read")).output

    async def forget(self, stamp: str, reference: str) -> None:
        if reference and (forget := self.system.forget(reference)):
            await self._program(forget)
        await self._must(places.remove(self.folder, _plain(stamp)), "its folder cannot be removed")

    async def capacity(self) -> int | None:
        return None

    async def close(self) -> None:
        await self.host.close()

    def secret_file(self, stamp: str) -> str:
        return f"{self.folder}/{stamp}/secret" if self.system.shared else "secret"

    def work_base(self, stamp: str) -> str | None:
        return None

    def exit_file(self, stamp: str) -> str | None:
        return f"{self.folder}/{stamp}/exit" if self.system.shared else None

    async def _program(self, call: Call) -> Ran:
        """Run a program of the batch system."""
        argv = (f"{self.programs}/{call.argv[0]}", *call.argv[1:]) if self.programs else call.argv
        if call.environment:
            argv = ("env", *(f"{name}={value}" for name, value in call.environment), *argv)
        async with self._room:
            return await self.host.run(argv, call.stdin)

    async def _plainly(self, call: Call) -> Ran:
        """Run a program that every host has."""
        async with self._room:
            return await self.host.run(call.argv, call.stdin)

    async def _must(self, call: Call, problem: str) -> Ran:
        ran = await self._plainly(call)
        if ran.code:
            raise self._failure(ran, problem)
        return ran

    def _failure(self, ran: Ran, problem: str) -> ComputingError:
        return ComputingError(f"on {self.host.name} {problem}: {ran.said}", Trouble.UNREACHABLE)


def _merged(stamp: str, job: Listed | None, code: int | None) -> Listed | None:
    """What is known of a pilot by the batch system's list and by its folder.

    A folder without a job and without an exit code says nothing: the system may not list it yet, or not any more.
    """
    if job is None:
        return None if code is None else Listed(stamp, "", Standing.ENDED, code)
    if code is None or job.standing not in (Standing.ENDED, Standing.UNKNOWN):
        return job
    return replace(job, standing=Standing.ENDED, exit_code=code)


def _unexplained(entry: Listed | None) -> bool:
    """Whether a pilot is in no list, or ended without a word on how."""
    return entry is None or (entry.standing is Standing.ENDED and entry.exit_code is None and not entry.why)


def _plain(stamp: str) -> str:
    if not places.STAMP.fullmatch(stamp):
        raise ComputingError(f"expected a stamp, got {stamp[:100]!r}", Trouble.REFUSED)
    return stamp
