"""Several agents under one monitor, as real processes with real payloads, against a central that speaks the wire."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot import procfs
from pilot.attempts.pool import KILL_GRACE
from pilot.errors import ExitCode
from pilot.protocol import Order, Settings
from pilot.states import OrderVerb, Outcome, PilotReason
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral
from tests.patience import PATIENCE
from tests.system import wait_for

pytestmark = pytest.mark.integration

SECRET = "one-time-secret-of-the-test"


class Pilot(RealPilot):
    """One whose payloads tell where they are."""

    def agent_of(self, payload: int) -> int:
        """The process of the agent whose payload that is."""
        about = procfs.process(payload)
        assert about is not None
        return about.parent

    def pid_in(self, job: int) -> int:
        """What the payload of a job wrote down as its process id, once it has."""
        path = self.work / "attempts" / f"{job}.1" / "job" / "pid"
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"), 90, f"job {job} to run", lambda: self.log)
        return int(path.read_text())


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(idle=2, lease=600, beat=0.5, match_wait=1, log_interval=0.2, min_disk=1_000_000)
    with WireCentral(tmp_path, SECRET, settings) as central:
        yield central


@pytest.fixture
def pilot(tmp_path: Path, central: WireCentral) -> Iterator[Pilot]:
    pilot = Pilot(tmp_path, central.url, central.ca, central.secret, memory=3_000_000_001)
    yield pilot
    pilot.end()
    print(pilot.log)


def gone(pid: int) -> bool:
    about = procfs.process(pid)
    return about is None or about.over


UNTIL_TOLD = "echo $$ > pid; while [ ! -e go ]; do sleep 0.1; done"
LONG = ("sh", "-c", "echo $$ > pid; exec sleep 1000")


def test_agents_share_the_node(central: WireCentral, pilot: Pilot) -> None:
    """Each agent offers its share, jobs run under any of them, and when all are idle the pilot says goodbye once."""
    jobs = [central.submit("sh", "-c", f"echo {number}; sleep 0.5") for number in range(4)]
    pilot.start(more=("--agents", "2"))
    assert pilot.wait() == ExitCode.DONE
    assert {central.ended()[job, 1].outcome for job in jobs} == {Outcome.SUCCESS}
    first = {match.agent: match.offer for match in reversed(central.matches)}
    assert (first[1].cores, first[1].memory) == (1, 1_500_000_000)
    assert (first[2].cores, first[2].memory) == (1, 1_500_000_000)
    assert not first[1].empty
    assert not first[2].empty
    assert [bye.reason for bye in central.goodbyes] == [PilotReason.IDLE]
    assert {agent for agent, _ in central.answers} <= {1, 2}
    assert {step.command for step in central.steps} >= {"discover", "2/discover"}
    assert len({step.number for step in central.steps if step.outcome}) == sum(1 for s in central.steps if s.outcome)
    assert not central.failures


def test_an_idle_agent_stays_for_a_machine_that_works(central: WireCentral, pilot: Pilot) -> None:
    """While one agent has a payload the other is there for the next job, long after it would have ended alone; when
    there is no work at all both end."""
    pilot.start(more=("--agents", "2"))
    held = central.submit("sh", "-c", UNTIL_TOLD)
    pilot.pid_in(held)
    busy = next(agent for (agent, _), answer in central.answers.items() if answer.leases)
    other = 3 - busy

    def asked() -> float:
        return sum(match.wait for match in central.matches if match.agent == other)

    central.until(lambda: asked() > 8, what="an idle agent to go on asking")
    second = central.submit("true")
    central.until(lambda: (second, 1) in central.ended())
    assert central.answers[other, max(number for agent, number in central.answers if agent == other)].leases
    (pilot.work / "attempts" / f"{held}.1" / "job" / "go").touch()
    assert pilot.wait() == ExitCode.DONE
    assert [bye.reason for bye in central.goodbyes] == [PilotReason.IDLE]


def test_an_agent_that_dies_costs_its_own_attempts(central: WireCentral, pilot: Pilot) -> None:
    """After kill -9 of one agent its payloads are gone and reported as node faults; the others work on, and say so."""
    pilot.start(more=("--agents", "2"))
    jobs = [central.submit(*LONG) for _ in range(2)]
    pids = {job: pilot.pid_in(job) for job in jobs}
    agents = {job: pilot.agent_of(pids[job]) for job in jobs}
    assert len(set(agents.values())) == 2
    os.kill(agents[jobs[0]], signal.SIGKILL)
    central.until(lambda: (jobs[0], 1) in central.ended())
    fault = central.ended()[jobs[0], 1]
    assert fault.outcome is Outcome.NODE_FAULT
    assert "SIGKILL" in fault.message
    assert gone(pids[jobs[0]])
    assert not gone(pids[jobs[1]])
    os.kill(pids[jobs[1]], signal.SIGTERM)
    central.until(lambda: (jobs[1], 1) in central.ended())
    after = central.submit("true")
    central.until(lambda: (after, 1) in central.ended())
    assert central.ended()[after, 1].outcome is Outcome.SUCCESS
    assert pilot.wait() == ExitCode.AGENT_DIED
    assert [bye.reason for bye in central.goodbyes] == [PilotReason.AGENT_DIED]
    assert not central.failures


def test_orders_reach_whom_they_concern(central: WireCentral, pilot: Pilot) -> None:
    """A kill ends the one attempt, whichever agent has it; a drain lets the others finish, and then all end."""
    pilot.start(more=("--agents", "2"))
    doomed, spared = central.submit(*LONG), central.submit("sh", "-c", UNTIL_TOLD)
    pids = pilot.pid_in(doomed), pilot.pid_in(spared)
    central.orders = [Order(1, OrderVerb.KILL, job=doomed, attempt=1, reason="enough", who="anna")]
    central.until(lambda: (doomed, 1) in central.ended())
    assert central.ended()[doomed, 1].outcome is Outcome.KILLED
    assert gone(pids[0])
    assert not gone(pids[1])
    central.orders = [*central.orders, Order(2, OrderVerb.DRAIN, epoch=3, who="otto")]
    central.until(lambda: "done" in central.acknowledged[2])
    (pilot.work / "attempts" / f"{spared}.1" / "job" / "go").touch()
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[spared, 1].outcome is Outcome.SUCCESS
    assert [bye.reason for bye in central.goodbyes] == [PilotReason.DRAINED]


def test_a_kill_order_is_over_in_ten_seconds(central: WireCentral, pilot: Pilot) -> None:
    """From the heartbeat that brings a kill order until a payload that ignores every request is gone: ten seconds."""
    pilot.start(more=("--agents", "2"))
    deaf = central.submit("sh", "-c", "trap '' TERM INT HUP; echo $$ > pid; while :; do sleep 1; done", grace=3600)
    pid = pilot.pid_in(deaf)
    central.orders = [Order(1, OrderVerb.KILL, job=deaf, attempt=1, reason="enough", who="anna")]
    central.until(lambda: "received" in central.acknowledged[1])
    arrived = time.monotonic()
    wait_for(lambda: gone(pid), 10, "the payload to be gone", lambda: pilot.log)
    central.until(lambda: (deaf, 1) in central.ended())
    assert time.monotonic() - arrived < KILL_GRACE + 2 * PATIENCE
    assert central.ended()[deaf, 1].outcome is Outcome.KILLED


def test_a_signal_ends_all_agents(central: WireCentral, pilot: Pilot) -> None:
    """When the batch system ends the pilot, what runs under every agent is preempted."""
    pilot.start(more=("--agents", "2"))
    jobs = [central.submit(*LONG) for _ in range(2)]
    pids = [pilot.pid_in(job) for job in jobs]
    assert pilot.process is not None
    pilot.process.terminate()
    assert pilot.wait() == ExitCode.PREEMPTED
    assert {central.ended()[job, 1].outcome for job in jobs} == {Outcome.PREEMPTED}
    assert all(gone(pid) for pid in pids)


def test_more_agents_than_cores(central: WireCentral, pilot: Pilot) -> None:
    """Agents for which there is no core end and say why; the others run the jobs, and the pilot ends as they do."""
    job = central.submit("true")
    pilot.start(more=("--agents", "3"))
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[job, 1].outcome is Outcome.SUCCESS
    [step] = [step for step in central.steps if step.outcome == "failed"]
    assert (step.command, step.message) == ("3/configure", "no core is left for agent 3: 2 cores for 3 agents")
