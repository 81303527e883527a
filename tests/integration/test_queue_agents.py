"""A queue whose pilots have several agents, with a real central and its director."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.states import JobState, Outcome, PilotState
from pilotage import Client
from tests.system import Plan, System, deliver, process_rows, running_system, wait_for

pytestmark = pytest.mark.integration

LONG = {"command": ["sleep", "600"]}
QUEUE = 'agents = 2\n[queues.settings]\nmatch_wait = "20 s"\n'


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    plan = Plan(slots=1, cores=2, idle="600 s", queue=QUEUE)
    with running_system(tmp_path / "central", plan) as system:
        yield system


def both_running(client: Client) -> list[int]:
    """Two jobs, one under each agent."""
    jobs = list(client.submit([LONG] * 2).ids)
    wait_for(lambda: all(client.job(job).job.state is JobState.RUNNING for job in jobs), 60, "both jobs to run")
    return jobs


def agents_with_a_payload(system: System) -> dict[int, int]:
    """agent → its payload."""
    ours = set(system.processes("600"))
    return {row.parent: row.pid for row in process_rows() if row.pid in ours and row.parent in system.agents()}


def test_agents_of_one_pilot_share_the_work(system: System, client: Client) -> None:
    """One pilot runs as many agents as its queue says; each has a job, and a kill finds its job under any of them."""
    jobs = both_running(client)
    [pilot] = {client.attempts(job)[-1].pilot for job in jobs}
    assert len(system.agents()) == 2
    assert set(agents_with_a_payload(system)) == set(system.agents())
    client.kill(jobs)
    client.wait(jobs, timeout=60)
    assert {client.job(job).job.state for job in jobs} == {JobState.KILLED}
    steps = {step.command for step in client.pilot(pilot).steps}
    assert {"discover", "2/discover", "run_jobs", "2/run_jobs"} <= steps


def test_an_agent_that_dies_costs_its_own_attempt(system: System, client: Client) -> None:
    """kill -9 of one agent: its job waits again as a node fault, the other's goes on, and then runs there too."""
    jobs = both_running(client)
    victim, payload = next(iter(agents_with_a_payload(system).items()))
    deliver(victim, signal.SIGKILL)
    wait_for(lambda: [job for job in jobs if client.job(job).job.state is JobState.WAITING], 20, "a job to wait again")
    assert payload not in system.processes("600")
    [struck] = [job for job in jobs if client.job(job).job.state is JobState.WAITING]
    [spared] = set(jobs) - {struck}
    assert client.attempts(struck)[0].outcome is Outcome.NODE_FAULT
    assert client.job(struck).retries_used == 0
    assert client.job(spared).job.state is JobState.RUNNING
    client.kill([spared])
    wait_for(lambda: client.job(struck).job.state is JobState.RUNNING, 40, "the struck job to run again")
    first, second = client.attempts(struck)
    assert first.pilot == second.pilot
    assert client.pilot(first.pilot).pilot.state is PilotState.RUNNING
    assert len(system.agents()) == 1
