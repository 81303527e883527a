"""What the end-to-end tests of computing elements share: fifty jobs through a director, a pilot that is cancelled, one
that is killed by the system's own limit."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence

from central.elements.port import ComputingElement, Listed, Request, Standing, Submission
from pilot.states import JobState, PilotState
from pilot.views import PilotDetail
from pilotage import Client
from tests.system import System, wait_for

JOBS = 50
#: A job that runs until its pilot ends.
LONG = {"command": ["sleep", "300"], "needs": {"cores": 1, "wall_time": 400}}


def fifty_jobs(system: System, patience: float = 90) -> Sequence[PilotDetail]:
    """Run fifty jobs of one core, and return the pilots that ran them."""
    with system.client() as client:
        done = client.submit([{"command": ["true"], "needs": {"cores": 1, "wall_time": 5}}] * JOBS)
        client.wait(done.ids, timeout=patience)
        assert {client.job(job).job.state for job in done.ids} == {JobState.DONE}, system.log()
        ran = {attempt.pilot for job in done.ids for attempt in client.attempts(job)}
        return [discovered(client, stamp) for stamp in sorted(ran)]


def discovered(client: Client, stamp: str) -> PilotDetail:
    """A pilot with what it has found out: that comes with a heartbeat, and may be later than a short job's end."""

    def known() -> PilotDetail | None:
        detail = client.pilot(stamp)
        return detail if {"cores", "memory", "seconds_left"} <= detail.facts.keys() else None

    found = wait_for(known, 30, f"what pilot {stamp} has found out")
    assert found
    return found


def fact(pilot: PilotDetail, name: str) -> tuple[int, str]:
    """A number that a pilot has found, and whose word it is."""
    value, _, source = pilot.facts[name].partition(" (")
    return int(value), source.removesuffix(")")


def running_pilot(client: Client, job: int, patience: float = 60) -> PilotDetail:
    """The pilot that has begun to run a job."""
    wait_for(lambda: client.job(job).job.state is JobState.RUNNING, patience, f"job {job} to run")
    return client.pilot(client.attempts(job)[-1].pilot)


def another_pilot(client: Client, job: int, first: str, patience: float = 60) -> PilotDetail:
    """The pilot in which a job goes on that ran in the first before."""

    def elsewhere() -> str:
        last = client.attempts(job)[-1]
        return last.pilot if last.pilot != first and client.job(job).job.state is JobState.RUNNING else ""

    return client.pilot(wait_for(elsewhere, patience, f"job {job} to run in another pilot than {first}"))


def over(client: Client, stamp: str, patience: float = 60) -> PilotDetail:
    """A pilot, once it is over."""
    final = (PilotState.DONE, PilotState.FAILED, PilotState.LOST, PilotState.CANCELLED)
    wait_for(lambda: client.pilot(stamp).pilot.state in final, patience, f"pilot {stamp} to end")
    return client.pilot(stamp)


def cancel(element: ComputingElement, reference: str) -> None:
    """End a submission as a director does."""

    async def asked() -> None:
        assert await element.cancel([reference]) == {}
        await element.close()

    asyncio.run(asked())


def endless(element: ComputingElement, wall_time: int) -> str:
    """Submit what does not end within its wall time, and return its stamp."""
    script = "#!/bin/sh\ntrap '' TERM USR1 USR2\nwhile :; do sleep 600; done\n"
    stamp = secrets.token_hex(16)

    async def submitted() -> None:
        submission = Submission(stamp, script, secrets.token_urlsafe(32), Request(wall_time=wall_time))
        (result,) = (await element.submit([submission])).values()
        assert isinstance(result, str), result
        await element.close()

    asyncio.run(submitted())
    return stamp


def ended(element: ComputingElement, stamp: str, patience: float = 60) -> Listed:
    """What is said of a submission once it has ended."""

    async def asked() -> Listed:
        end = time.monotonic() + patience
        found: dict[str, Listed] = {}
        while not (found.get(stamp) and found[stamp].standing is Standing.ENDED):
            assert time.monotonic() < end, f"waited {patience} s for the end of {found}"
            await asyncio.sleep(0.5)
            found = {entry.stamp: entry for entry in await element.listing()}
        await element.forget(stamp, found[stamp].reference)
        await element.close()
        return found[stamp]

    return asyncio.run(asked())
