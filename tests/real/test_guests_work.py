"""Machines from the first thought of their director to their end: they boot, become pilots, do jobs, and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.states import JobState, Outcome, PilotReason, PilotState
from tests.real.guest_scene import IMAGES, LITTLE
from tests.real.guest_system import Guesthouse, guesthouse

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IMAGES, reason="what this needs is set up by the lane nspawn"),
]


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Guesthouse]:
    """One pilot for a machine."""
    with guesthouse(tmp_path) as house:
        yield house


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Guesthouse]:
    """An agent for each core of a machine."""
    with guesthouse(tmp_path, more="agents = 2") as house:
        yield house


def test_a_machine_does_eight_jobs_through_its_pool(pool: Guesthouse) -> None:
    """The director starts one machine by user-data; it does all jobs, as users of their own and with its host's name,
    halts when there are no more, and is gone from its provider and from the journal."""
    with pool.system.client() as client:
        tells = [{"command": ["sh", "-c", f"echo {number}; uname -n; id -u"], "needs": LITTLE} for number in range(8)]
        jobs = client.submit(tells).ids
        client.wait(jobs, timeout=240)
        assert [client.job(job).job.state for job in jobs] == [JobState.DONE] * 8
        [stamp] = {client.attempts(job)[-1].pilot for job in jobs}
        said = [client.logs(job).decode().split() for job in jobs]
        assert [words[0] for words in said] == [str(number) for number in range(8)]
        assert {words[1] for words in said} == {f"pilotage-{stamp[:12]}"}
        assert all(20000 <= int(words[2]) <= 20063 for words in said)
        [pilot] = pool.all_gone(client)
        assert (pilot.stamp, pilot.state, pilot.reason) == (stamp, PilotState.DONE, PilotReason.IDLE)
        assert pilot.machine is not None
        assert (pilot.machine.cloud, pilot.machine.instance) == ("nspawn", pilot.reference)


def test_a_machine_of_one_agent_for_each_core(agents: Guesthouse) -> None:
    """Two agents share a machine, both have work, and it halts and goes as one with a pool does."""
    with agents.system.client() as client:
        jobs = client.submit([{"command": ["sleep", "5"], "needs": LITTLE}] * 4).ids
        client.wait(jobs, timeout=240)
        assert [client.attempts(job)[-1].outcome for job in jobs] == [Outcome.SUCCESS] * 4
        [stamp] = {client.attempts(job)[-1].pilot for job in jobs}
        steps = {step.command for step in client.pilot(stamp).steps}
        assert {"run_jobs", "2/run_jobs"} <= steps
        [pilot] = agents.all_gone(client)
        assert (pilot.state, pilot.reason) == (PilotState.DONE, PilotReason.IDLE)
