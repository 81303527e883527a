"""An ARC computing element, through its REST interface.

A job is made first and gets its files then: script and secret are brought into its session directory, and until both
are there ARC does not start it. Where that is not done to its end the job stands half made. It is not listed, so the
director submits its pilot once more, and then it gets its files instead of a second job being made.

Tested against ARC 6.17 (REST 1.0) over Slurm, with proxies and tokens. Version 1.1 was not met.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ParamSpec, TypeVar

from central.elements.arc import jobs
from central.elements.arc.client import Client
from central.elements.arc.delegation import Delegations
from central.elements.arc.jobs import Door, Info
from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble

P = ParamSpec("P")
T = TypeVar("T")

#: Requests at the same time.
AT_ONCE = 4
#: Jobs that are described in one request.
MOST_DESCRIBED = 500
#: Seconds after which a job that was asked for is there, if it ever will: the answer may have been given up on before.
LAG = 120.0
#: How often, and with how many seconds between, one looks whether a job that is to go is gone.
LOOKS, PAUSE = 20, 0.1


class ArcElement:
    """Submits pilots as jobs of one queue of ARC. `delegations`: None where jobs get no proxy of ours.

    `look` says what is or will be wrong with our credential, empty when nothing is, and `alarm` is told.
    """

    lag = LAG

    def __init__(
        self,
        client: Client,
        door: Door,
        delegations: Delegations | None,
        look: Callable[[], str],
        alarm: Callable[[str], None],
    ) -> None:
        self.client = client
        self.door = door
        self.delegations = delegations
        self.look = look
        self.alarm = alarm
        # Requests wait in threads of their own: one that hangs keeps no other computing element waiting.
        self._threads = ThreadPoolExecutor(AT_ONCE, "arc")
        self._stamps: dict[str, str] = {}  # of each job; empty for those of others
        self._whole: set[str] = set()  # jobs that have their files
        self._half: dict[str, str] = {}  # stamp → a job that lacks them
        self._ended: dict[str, Listed] = {}  # by job

    # --- Submitting ---------------------------------------------------------------------------------------------------

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        made: dict[str, str | ComputingError] = {
            item.stamp: self._half[item.stamp] for item in submissions if item.stamp in self._half
        }
        new = [item for item in submissions if item.stamp not in made]
        for start in range(0, len(new), MOST_DESCRIBED):
            made |= await self._make(new[start : start + MOST_DESCRIBED])
        filled = await asyncio.gather(*(self._fill(item, made[item.stamp]) for item in submissions))
        return {item.stamp: result for item, result in zip(submissions, filled, strict=True)}

    async def _make(self, submissions: Sequence[Submission]) -> dict[str, str | ComputingError]:
        try:
            delegation = await self._ask(self.delegations.for_new_jobs) if self.delegations else ""
            description = jobs.descriptions(self.door, submissions, delegation)
            results = await self._ask(self.client.create, description, len(submissions))
        except ComputingError as error:
            return {item.stamp: error for item in submissions}
        return {item.stamp: result for item, result in zip(submissions, results, strict=True)}

    async def _fill(self, item: Submission, job: str | ComputingError) -> str | ComputingError:
        """Bring a job its files. While it lacks one it is half made."""
        if isinstance(job, ComputingError):
            return job
        again = self._half.get(item.stamp) == job
        self._stamps[job], self._half[item.stamp] = item.stamp, job
        try:
            if again:  # a file that is there keeps its end where the new one is shorter
                await self._ask(self.client.empty, job)
            for name, text in ((jobs.SECRET, item.secret), (jobs.SCRIPT, item.script)):
                await self._ask(self.client.upload, job, name, text.encode())
        except ComputingError as error:
            # The job is there: it is no refusal of the pilot, which gets its files another time.
            trouble = error.trouble if error.transient else Trouble.UNREACHABLE
            return ComputingError(f"job {job} was made, and not started: {error}", trouble)
        self._half.pop(item.stamp, None)
        self._whole.add(job)
        return job

    # --- Listing ------------------------------------------------------------------------------------------------------

    async def listing(self) -> Sequence[Listed]:
        self.alarm(await self._ask(self.look))
        states = await self._ask(self.client.states)
        self._drop(states.keys())
        asked = [job for job in states if self._stamps.get(job) != ""]
        infos = await self._ask(self.client.infos, asked)
        await self._name(asked, infos)
        ours = {job: jobs.state(states[job], infos.get(job, Info())) for job in asked if self._stamps.get(job)}
        half = await self._without_files([job for job, state in ours.items() if state in jobs.EARLY])
        self._half = {self._stamps[job]: job for job in half}
        entries = await asyncio.gather(
            *(self._entry(job, state, infos.get(job, Info())) for job, state in ours.items() if job not in half)
        )
        if self.delegations:
            await self._ask(self.delegations.keep, [entry.reference for entry in entries if _lives(entry)])
        found: dict[str, Listed] = {}
        for entry in entries:  # where there are two of a stamp, one that lives is the one
            if entry.stamp not in found or _lives(entry):
                found[entry.stamp] = entry
        return list(found.values())

    def _drop(self, known: Iterable[str]) -> None:
        """Forget what was kept of jobs that are not there any more."""
        there = set(known)
        self._stamps = {job: stamp for job, stamp in self._stamps.items() if job in there}
        self._ended = {job: entry for job, entry in self._ended.items() if job in there}
        self._whole &= there

    async def _name(self, asked: Iterable[str], infos: Mapping[str, Info]) -> None:
        """Find out which jobs are ours. The information system does not know the newest: ARC's own file does."""
        strange = [job for job in asked if job not in self._stamps]
        unknown = [job for job in strange if job not in infos or not infos[job].name]
        told = await asyncio.gather(*(self._ask(self.client.told, job, "local") for job in unknown))
        names = {job: jobs.value(lines, "jobname") for job, lines in zip(unknown, told, strict=True) if lines}
        for job in strange:
            name = names.get(job) if job in unknown else infos[job].name
            if name is not None:  # else it went while we asked
                self._stamps[job] = jobs.stamp_of(self.door.prefix, name)

    async def _without_files(self, early: Iterable[str]) -> set[str]:
        """Those that have not got their files, as far as ARC was told that a file is whole."""
        doubtful = [job for job in early if job not in self._whole]
        told = await asyncio.gather(*(self._ask(self.client.told, job, "input_status") for job in doubtful))
        brought = {job: set(lines.split()) for job, lines in zip(doubtful, told, strict=True)}
        needed = {f"/{jobs.SECRET}", f"/{jobs.SCRIPT}"}
        self._whole |= {job for job, files in brought.items() if needed <= files}
        return {job for job in doubtful if job not in self._whole}

    async def _entry(self, job: str, state: str, info: Info) -> Listed:
        if state not in jobs.ENDED:
            return Listed(self._stamps[job], job, jobs.standing(state), why=info.detail or state)
        if job not in self._ended:
            entry = Listed(self._stamps[job], job, Standing.ENDED, info.exit_code, _why(state, info.error))
            if info.state not in jobs.ENDED:  # the information system has not heard of it yet: ARC's own files have
                code = jobs.value(await self._ask(self.client.told, job, "diag"), "exitcode")
                words = await self._ask(self.client.told, job, "failed")
                entry = replace(entry, exit_code=int(code) if code.isdecimal() else None, why=_why(state, words))
            self._ended[job] = entry
        return self._ended[job]

    # --- The rest -----------------------------------------------------------------------------------------------------

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        asked = [reference for reference in references if reference]
        try:
            return await self._ask(self.client.kill, asked) if asked else {}
        except ComputingError as error:
            return dict.fromkeys(asked, error)

    async def output(self, stamp: str, reference: str) -> bytes:
        return await self._ask(self.client.tail, reference or self._job(stamp), jobs.OUTPUT)

    async def forget(self, stamp: str, reference: str) -> None:
        job = reference or self._job(stamp)
        await self._ask(self.client.clean, job)
        for _ in range(LOOKS):  # ARC does it by and by, mostly in a tenth of a second
            if not await self._ask(self.client.told, job, "status"):
                return
            await asyncio.sleep(PAUSE)

    async def capacity(self) -> int | None:
        return None

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def secret_file(self, stamp: str) -> str:
        return jobs.SECRET

    def work_base(self, stamp: str) -> str | None:
        return None

    def exit_file(self, stamp: str) -> str | None:
        return None

    def _job(self, stamp: str) -> str:
        for job, known in self._stamps.items():
            if known and known == stamp:
                return job
        raise ComputingError(f"no job of ARC is known for pilot {stamp[:100]}", Trouble.REFUSED)

    async def _ask(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, functools.partial(call, *arguments, **named))


def _lives(entry: Listed) -> bool:
    return entry.standing is not Standing.ENDED


def _why(state: str, error: str) -> str:
    words = " ".join(error.split())[:1000]
    return f"{state}: {words}" if words else state
