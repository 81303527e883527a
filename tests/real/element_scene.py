"""What the tests of real computing elements share: fifty jobs through a director, a pilot that is cancelled, one that
the system's own limit kills; and an adapter alone, asked call by call."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from central.elements.port import ComputingElement, ComputingError, Listed, Request, Standing, Submission
from pilot.states import JobState, PilotState
from pilot.views import AttemptView, PilotDetail
from pilotage import Client
from tests.system import System, wait_for

JOBS = 50
#: A job that runs until its pilot ends.
LONG = {"command": ["sleep", "300"], "needs": {"cores": 1, "wall_time": 400}}
ANY = Request()


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


def outlived(system: System, element: ComputingElement, patience: float = 60) -> tuple[PilotDetail, AttemptView]:
    """A job goes on in another pilot when its first one is cancelled at the computing element, with another reference.

    Returns what became of the first, and the attempt that it had.
    """
    with system.client() as client:
        (number,) = client.submit([LONG]).ids
        first = running_pilot(client, number, patience)
        cancel(element, first.pilot.reference)
        second = another_pilot(client, number, first.pilot.stamp, patience)
        assert second.pilot.reference != first.pilot.reference
        ended = over(client, first.pilot.stamp, patience)
        attempt = client.attempts(number)[0]
        client.kill([number])
        return ended, attempt


# --- The adapter alone ------------------------------------------------------------------------------------------------


def submission(script: str = "exec sleep 600\n", request: Request = ANY) -> Submission:
    """A pilot that is a few lines of the shell."""
    return Submission(secrets.token_hex(16), f"#!/bin/sh\n{script}", secrets.token_urlsafe(16), request)


def answer(element: ComputingElement, one: Submission) -> str | ComputingError:
    return asyncio.run(element.submit([one]))[one.stamp]


def submitted(element: ComputingElement, one: Submission) -> str:
    """Its reference."""
    reference = answer(element, one)
    assert isinstance(reference, str), reference
    return reference


def not_taken(element: ComputingElement, one: Submission) -> ComputingError:
    """Why it was not taken."""
    error = answer(element, one)
    assert isinstance(error, ComputingError), error
    return error


def listed(element: ComputingElement, stamp: str) -> Listed | None:
    return next((entry for entry in asyncio.run(element.listing()) if entry.stamp == stamp), None)


def stands(element: ComputingElement, stamp: str, standing: Standing, patience: float = 60) -> Listed:
    """What is said of a submission, once it stands so."""
    said: list[Listed | None] = [None]

    def found() -> Listed | None:
        said[0] = entry = listed(element, stamp)
        return entry if entry and entry.standing is standing else None

    entry = wait_for(found, patience, f"{stamp} to be {standing.value}", lambda: str(said[0]))
    assert entry
    return entry


def cancel(element: ComputingElement, reference: str) -> None:
    """End a submission as a director does."""

    async def asked() -> None:
        assert await element.cancel([reference]) == {}
        await element.close()

    asyncio.run(asked())


def endless(element: ComputingElement, request: Request) -> str:
    """Submit what does not end within its wall time, whatever it is told, and return its stamp."""
    one = submission("trap '' TERM USR1 USR2 XCPU\nwhile :; do sleep 600; done\n", request)
    submitted(element, one)
    return one.stamp


def ended(element: ComputingElement, stamp: str, patience: float = 60) -> Listed:
    """What is said of a submission once it has ended; it is forgotten then."""
    entry = stands(element, stamp, Standing.ENDED, patience)

    async def forgotten() -> None:
        await element.forget(stamp, entry.reference)
        await element.close()

    asyncio.run(forgotten())
    return entry
