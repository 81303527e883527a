"""Slurm as a computing element: the contract, and directors that send pilots through it to three nodes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.port import ComputingError, Request, Standing, Trouble
from central.elements.trial import ENVIRONMENT
from pilot.states import JobState, Outcome, PilotReason
from pilot.views import AttemptView, PilotView
from pilotage import Client
from tests.real import element_scene
from tests.real.element_scene import ended, listed, not_taken, stands, submission, submitted
from tests.real.slurm_scene import Cluster, central_of, each_once, fifty_jobs, on_cluster, running, running_cluster
from tests.system import System, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("PILOTAGE_SLURM_USER" not in os.environ, reason="what this needs is set up by the lane slurm"),
]
MIB = 1024 * 1024
SMALL = Request(memory=50 * MIB)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def endless(cluster: Cluster) -> str:
    """Asks for a minute and takes all that it gets. It is submitted first, so that nobody has to wait for its end."""
    return element_scene.endless(cluster.element("endless", {}), replace(SMALL, wall_time=60))


@pytest.fixture(scope="module")
def system(cluster: Cluster) -> Iterator[System]:
    with central_of(cluster) as system:
        yield system


@pytest.fixture(scope="module")
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def cut_short(cluster: Cluster, system: System, client: Client) -> AttemptView:
    """An attempt on a pilot whose job Slurm's operator gives one minute more than nothing, when it runs already."""
    [job] = client.submit([on_cluster(["sleep", "300"], cores=2)]).ids
    attempt = running(system, client, job)
    cluster.operator("scontrol", "update", f"jobid={client.pilot(attempt.pilot).pilot.reference}", "timelimit=1")
    return attempt


class TestSlurm(ComputingElementContract):
    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, cluster: Cluster) -> Scene:
        return Scene(
            fresh=lambda: cluster.element("contract", ENVIRONMENT),
            refused=asking(Request(memory=10**14)),
            request=replace(SMALL, wall_time=3600),
            patience=30,
        )


def test_a_whole_node_and_a_gpu(cluster: Cluster) -> None:
    """A pilot that asks for a whole node has all its cores and GPUs, and one that asks for a GPU has one."""
    element = cluster.element("asking", {})
    requests = (Request(whole_node=True, wall_time=60), Request(cores=2, memory=50 * MIB, gpus=1, wall_time=60))
    pilots = [submission("echo $SLURM_CPUS_ON_NODE $SLURM_JOB_GPUS\n", request) for request in requests]
    asyncio.run(element.submit(pilots))
    for pilot, told in zip(pilots, ("3 0,1", "2 0"), strict=True):
        stands(element, pilot.stamp, Standing.ENDED)
        assert asyncio.run(element.output(pilot.stamp, "")).decode().strip() == told


def test_fifty_jobs(client: Client, cluster: Cluster) -> None:
    """Fifty jobs are done, each once, by pilots that are jobs of Slurm and found in it what the queue asked for."""
    fifty_jobs(client, cluster)


def test_what_nobody_sent_is_ended(cluster: Cluster) -> None:
    """A job that looks like a pilot of the queue, and is in no journal, is cancelled, and its folder removed."""
    element = cluster.element("central/pilots/local", {})
    stray = submission(request=SMALL)
    submitted(element, stray)
    wait_for(lambda: (stray.stamp, "CANCELLED") in cluster.states(), 30, "the stray job to be cancelled")
    wait_for(lambda: not (cluster.folder / "central/pilots/local" / stray.stamp).exists(), 30, "its folder to go")


def test_a_halted_pilot(system: System, client: Client, cluster: Cluster) -> None:
    """A pilot that an operator halts ends as a job of Slurm, and its job is done by another."""
    [job] = client.submit([on_cluster(["sleep", "2"])]).ids
    stamp = running(system, client, job).pilot
    client.halt(stamp, "for a test")
    client.wait([job], timeout=40)
    assert [attempt.outcome for attempt in client.attempts(job)] == [Outcome.PREEMPTED, Outcome.SUCCESS]
    assert client.pilot(stamp).pilot.reason is PilotReason.HALTED
    wait_for(
        lambda: (stamp, "COMPLETED") in cluster.states(), 20, "Slurm's job to be over", lambda: str(cluster.jobs())
    )


def test_a_submission_that_was_not_answered(cluster: Cluster) -> None:
    """A controller that hangs is told as unreachable; what it took all the same is found by its stamp, once."""
    element = cluster.element("unanswered", {}, patience=4)
    one = submission(request=SMALL)
    with cluster.hanging():
        assert not_taken(element, one).trouble is Trouble.UNREACHABLE
        with pytest.raises(ComputingError) as caught:
            asyncio.run(element.listing())
        assert caught.value.trouble is Trouble.UNREACHABLE
    entry = wait_for(lambda: listed(element, one.stamp), 20, "the stamp to be listed")
    assert entry
    assert [name for _, name, _ in cluster.jobs()].count(one.stamp) == 1
    assert asyncio.run(element.cancel([entry.reference])) == {}


def test_a_controller_that_hangs(system: System, client: Client, cluster: Cluster) -> None:
    """Meanwhile pilots run on and the other queue goes on; afterwards nothing is lost, and no pilot was sent twice."""
    jobs = list(client.submit(on_cluster(["sleep", "2"], sweep={"n": "1..6"})).ids)
    running(system, client, jobs[0])
    with cluster.hanging():
        [elsewhere] = client.submit([{"command": ["true"], "needs": {"tags": "desk", "wall_time": 60}}]).ids
        client.wait([elsewhere], timeout=40)
        assert client.job(elsewhere).job.state is JobState.DONE
        told = wait_for(lambda: unreachable(client), 30, "the director to say that it cannot ask")
        assert "squeue" in told
    client.wait(jobs, timeout=60)
    outcomes = [attempt.outcome for job in jobs for attempt in client.attempts(job)]
    assert outcomes == [Outcome.SUCCESS] * 6
    assert each_once(client, cluster)


def test_the_limit_of_slurm(cluster: Cluster, endless: str) -> None:
    """What outstays the time that it asked for is ended by Slurm, and listed so."""
    assert ended(cluster.element("endless", {}), endless, patience=100).why == "TIMEOUT (TimeLimit)"


def test_a_limit_that_nobody_expected(client: Client, cluster: Cluster, cut_short: AttemptView) -> None:
    """A pilot that Slurm ends before its time says so in the seconds it has, and its job waits again, uncharged."""
    pilot = wait_for(lambda: over(client, cut_short.pilot), 100, "Slurm to end the pilot")
    assert pilot
    assert pilot.reason is PilotReason.SIGNAL
    wait_for(lambda: (pilot.stamp, "TIMEOUT") in cluster.states(), 20, "it to be over", lambda: str(cluster.jobs()))
    first = client.attempts(cut_short.job)[0]
    assert first.outcome is Outcome.PREEMPTED
    assert client.job(cut_short.job).retries_used == 0
    client.kill([cut_short.job])


def over(client: Client, stamp: str) -> PilotView | None:
    pilot = client.pilot(stamp).pilot
    return pilot if pilot.ended is not None else None


def unreachable(client: Client) -> str:
    """What the queue's director says while it cannot ask."""
    told = next(queue.decision for queue in client.queues() if queue.name == "local")
    return told if "could not be asked" in told else ""
