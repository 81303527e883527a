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
from central.elements.system import BatchSystem, Call, Job

#: Programs that run at the same time for one queue. An SSH server's own default is ten for one connection.
AT_ONCE = 4


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

    @property
    def lag(self) -> float:
        return self.system.lag

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        try:
            await self._must(places.fill(self.folder, submissions), "the folders of pilots cannot be made")
        except ComputingError as error:
            return {submission.stamp: error for submission in submissions}
        taken = await asyncio.gather(*(self._submit(submission) for submission in submissions))
        return {submission.stamp: result for submission, result in zip(submissions, taken, strict=True)}

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
        return [entry for stamp, code in codes.items() if (entry := _merged(stamp, jobs.get(stamp), code))]

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
        async with self._room:
            return await self.host.run(argv, call.stdin)

    async def _must(self, call: Call, problem: str) -> Ran:
        async with self._room:
            ran = await self.host.run(call.argv, call.stdin)
        if ran.code:
            raise ComputingError(f"on {self.host.name} {problem}: {ran.said}", Trouble.UNREACHABLE)
        return ran


def _merged(stamp: str, job: Listed | None, code: int | None) -> Listed | None:
    """What is known of a pilot by the batch system's list and by its folder.

    A folder without a job and without an exit code says nothing: the system may not list it yet, or not any more.
    """
    if job is None:
        return None if code is None else Listed(stamp, "", Standing.ENDED, code)
    if code is None or job.standing is not Standing.ENDED:
        return job
    return replace(job, exit_code=code)


def _plain(stamp: str) -> str:
    if not places.STAMP.fullmatch(stamp):
        raise ComputingError(f"expected a stamp, got {stamp[:100]!r}", Trouble.REFUSED)
    return stamp
