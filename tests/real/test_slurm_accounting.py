"""Slurm with accounting: limits of jobs, and what only the database remembers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.port import Request, Standing, Submission, Trouble
from central.elements.trial import ENVIRONMENT
from pilot.states import JobState, PilotState
from tests.real.element_scene import not_taken, submission, submitted
from tests.real.slurm_scene import (
    USER,
    Cluster,
    central_of,
    each_once,
    fifty_jobs,
    on_cluster,
    running,
    running_cluster,
)
from tests.system import wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "PILOTAGE_SLURM_ACCOUNTING" not in os.environ, reason="what this needs is set up by the lane slurm-accounting"
    ),
]
SMALL = Request(memory=50 * 1024 * 1024, wall_time=3600)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Its controller forgets what has ended within seconds."""
    with running_cluster(SLURM_ACCOUNTING="1", SLURM_FORGETS="2") as cluster:
        yield cluster


def one() -> Submission:
    return submission(request=SMALL)


@contextmanager
def limited(cluster: Cluster, kind: str, name: str, limit: str, *more: str) -> Iterator[None]:
    """Slurm's operator sets a limit of 1 for as long as the context lasts."""
    cluster.operator("sacctmgr", "-Q", "-i", "modify", kind, name, "set", *more, f"{limit}=1")
    try:
        yield
    finally:
        cluster.operator("sacctmgr", "-Q", "-i", "modify", kind, name, "set", f"{limit}=-1")


class TestSlurmWithAccounting(ComputingElementContract):
    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, cluster: Cluster) -> Scene:
        return Scene(
            fresh=lambda: cluster.element("contract", ENVIRONMENT),
            refused=asking(Request(memory=10**14)),
            request=SMALL,
            patience=30,
        )


@pytest.mark.parametrize(
    "limit",
    [("user", USER, "MaxSubmitJobs"), ("qos", "normal", "MaxSubmitJobsPerUser")],
    ids=["by association", "by QOS"],
)
def test_a_limit_of_jobs(cluster: Cluster, limit: tuple[str, str, str]) -> None:
    """When the user may have no more jobs, the next one is told as full, and is taken later."""
    element = cluster.element("limited", {})
    with limited(cluster, *limit):
        submitted(element, one())
        assert not_taken(element, one()).trouble is Trouble.FULL
    submitted(element, one())
    cluster.operator("scancel", f"--user={USER}")
    wait_for(lambda: not cluster.jobs(), 60, "all to be over and forgotten", lambda: str(cluster.jobs()))


def test_more_than_is_allowed(cluster: Cluster) -> None:
    """A request that a limit does not let through is refused, now and later."""
    with limited(cluster, "qos", "normal", "MaxWall", "Flags=DenyOnLimit"):
        assert not_taken(cluster.element("refused", {}), one()).trouble is Trouble.REFUSED


def test_what_the_controller_has_forgotten(cluster: Cluster) -> None:
    """How a pilot ended that left no exit code is told by the database, when the controller knows nothing any more."""
    element = cluster.element("forgotten", {})
    pilots = [one(), submission("exit 7\n", SMALL)]
    for pilot in pilots:
        submitted(element, pilot)
    stamps = [pilot.stamp for pilot in pilots]
    wait_for(lambda: (stamps[0], "RUNNING") in cluster.states(), 30, "the first to run")
    cluster.operator("scancel", f"--name={stamps[0]}")
    wait_for(lambda: not cluster.jobs(), 60, "all to be over and forgotten", lambda: str(cluster.jobs()))

    def told() -> list[tuple[Standing, int | None, str]]:
        entries = {entry.stamp: entry for entry in asyncio.run(element.listing())}
        return [(entry.standing, entry.exit_code, entry.why) for stamp in stamps if (entry := entries.get(stamp))]

    wait_for(lambda: len(told()) == 2, 30, "the database to know", lambda: str(told()))
    [cancelled, failed] = told()
    assert cancelled[0] is Standing.ENDED
    assert cancelled[2].startswith("CANCELLED")
    assert failed == (Standing.ENDED, 7, "FAILED")


def test_a_controller_that_forgets_everything(cluster: Cluster) -> None:
    """Fifty jobs are done as without accounting. When Slurm then loses its jobs and kills what it does not know, new
    pilots do the work, and the old ones are closed by what the database says of them."""
    with central_of(cluster) as system, system.client() as client:
        fifty_jobs(client, cluster)
        [job] = client.submit([on_cluster(["sleep", "20"], cores=2)]).ids
        first = running(system, client, job)
        cluster.forget_everything()
        client.wait([job], timeout=90)
        assert client.job(job).job.state is JobState.DONE, client.attempts(job)
        assert client.attempts(job)[-1].pilot != first.pilot
        wait_for(lambda: client.pilot(first.pilot).pilot.state is PilotState.LOST, 60, "it to be closed", system.log)
        assert each_once(client, cluster)
