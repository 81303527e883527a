"""The waste ledger of real pilots: what they did with their cores arrives at the central, whatever becomes of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pilot.states import Cause, JobState, PilotState
from pilotage import Client
from tests.integration.test_bad_days import running_attempt, stopped_past_its_lease, until_state
from tests.system import Plan, System, deliver, running_system, wait_for

pytestmark = pytest.mark.integration

SECOND = 1_000_000
OVER = (PilotState.DONE, PilotState.FAILED, PilotState.LOST)


def booked(client: Client) -> dict[Cause, float]:
    """Of all pilots, in core-seconds."""
    rows = client.waste(()).rows
    return {Cause(cause): amount / SECOND for row in rows for cause, amount in row.booked.items()}


def held(client: Client, *jobs: int) -> float:
    """Core-seconds from lease to report of the attempts that these jobs ended with: no more can have been used."""
    last = [client.attempts(job)[-1] for job in jobs]
    return sum(one.cores * (one.ended - one.started) for one in last if one.ended)


def until_over(client: Client, stamp: str, seconds: float = 60) -> None:
    wait_for(lambda: client.pilot(stamp).pilot.state in OVER, seconds, f"pilot {stamp} to be over")


def test_a_day_of_a_pilot(tmp_path: Path) -> None:
    """Success and failure, one core free beside a job that wants two, the drain: each has its cause, to its community,
    and everything together is the life of the pilot's cores."""
    with running_system(tmp_path / "central", Plan(cores=2)) as system, system.client() as client:
        long, failing, wide = client.submit(
            [
                {"command": ["sleep", "6"]},
                {"command": ["sh", "-c", "sleep 1; exit 3"]},
                {"command": ["true"], "needs": {"cores": 2}, "priority": 1},
            ]
        ).ids
        client.wait([long, failing, wide], timeout=270)
        stamp = client.attempts(long)[-1].pilot
        client.drain(stamp)
        until_over(client, stamp)
        found = booked(client)
        assert 6 <= found[Cause.GOOD] <= held(client, long, wide)
        assert 1 <= found[Cause.FAILED] <= held(client, failing)
        assert found[Cause.FRAGMENTS] > 1
        assert found[Cause.BOOT] > 0
        assert found[Cause.VALIDATE] > 0
        assert Cause.PAYLOAD not in found
        assert Cause.VANISHED not in found
        [row] = client.waste(["site", "community"]).rows
        assert (row.keys, row.pilots) == (("here", "physics"), 1)
        view = client.pilot(stamp).pilot
        assert view.ended is not None
        assert view.enrolled is not None
        lived = sum(row.booked.values()) / SECOND / 2
        assert view.ended - view.enrolled - 8 < lived < view.ended - view.created
        assert "The ledger of a pilot cannot be" not in system.log()


def test_what_was_lost_with_an_agent(system: System, client: Client) -> None:
    """kill -9 of an agent: the time of its payload is lost, and the monitor closes the ledger to the end."""
    [job] = client.submit({"command": ["sleep", "60"], "retries": 0}).ids
    stamp = running_attempt(system, client, job).pilot
    wait_for(lambda: booked(client).get(Cause.BOOT), 30, "a ledger")
    [agent] = system.agents(stamp)
    deliver(agent, signal.SIGKILL)
    until_over(client, stamp)
    client.kill([job])
    found = booked(client)
    assert found[Cause.LOST] > 0
    assert found[Cause.DRAIN] > 0
    assert Cause.VANISHED not in found


def test_what_a_vanished_pilot_never_said(system: System, client: Client) -> None:
    """kill -9 of all of a pilot: what its cores did since its last word nobody can tell, and the ledger says so."""
    [job] = client.submit({"command": ["sleep", "60"], "retries": 0}).ids
    stamp = running_attempt(system, client, job).pilot
    wait_for(lambda: booked(client).get(Cause.BOOT), 30, "a ledger")
    for pid in system.processes("", stamp):
        deliver(pid, signal.SIGKILL)
    until_over(client, stamp)
    client.kill([job])
    until_state(client, job, JobState.KILLED)
    row = client.waste(()).rows[0]
    assert row.booked[Cause.VANISHED.value] > 0
    assert Cause.PAYLOAD.value not in row.booked or row.pilots > 1


def test_an_end_that_came_too_late(tmp_path: Path) -> None:
    """A whole pilot under SIGSTOP past its lease: what its payload did, which ran elsewhere meanwhile, was lost."""
    plan = Plan(slots=2, cores=1, lease="4 s", silent_after="3 s")
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        [job] = client.submit({"command": ["sleep", "8"]}).ids
        first = running_attempt(system, client, job)
        stopped_past_its_lease(system, client, first)
        client.wait([job], timeout=180)
        second = client.attempts(job)[-1]
        for stamp in {first.pilot, second.pilot}:
            client.drain(stamp)
            until_over(client, stamp)
        found = booked(client)
        assert 8 <= found[Cause.GOOD] <= held(client, job)
        assert found[Cause.LOST] >= 4
        assert Cause.PAYLOAD not in found


def test_agents_share_one_ledger(tmp_path: Path) -> None:
    """Two agents of a pilot have its cores between them; when one is killed its cores are idle to the pilot's end."""
    with running_system(tmp_path / "central", Plan(cores=2, queue="agents = 2")) as system, system.client() as client:
        first, second = client.submit([{"command": ["sleep", "3"]}, {"command": ["sleep", "3"]}]).ids
        stamp = running_attempt(system, client, first).pilot
        client.wait([first, second], timeout=180)
        deliver(min(system.agents(stamp)), signal.SIGKILL)
        wait_for(lambda: len(system.agents(stamp)) == 1, 20, "one agent to be gone")
        wait_for(lambda: booked(client).get(Cause.DRAIN), 30, "the cores of an agent to be idle")
        client.drain(stamp)
        until_over(client, stamp)
        [row] = client.waste(["pilot"]).rows
        assert row.keys == (stamp,)
        assert 6 <= row.booked[Cause.GOOD.value] / SECOND <= held(client, first, second)
        assert sum(row.booked.values()) % 2 == 0
        assert "The ledger of a pilot cannot be" not in system.log()
