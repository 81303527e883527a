"""Grid Engine as a computing element: the contract, and pilots that the director sends through a real one."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from central.elements.batch import BatchElement
from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.here import Here
from central.elements.port import ComputingError, Request, Trouble
from central.elements.system import Door
from central.elements.systems.gridengine import GridEngine
from central.elements.trial import ENVIRONMENT
from pilot.states import Outcome, PilotState
from tests.real import element_scene
from tests.system import TOP, Plan, System, running_system

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "PILOTAGE_GRIDENGINE" not in os.environ, reason="what this needs is set up by the lane gridengine"
    ),
]
SCRIPT = TOP / "tests" / "real" / "gridengine.sh"


def client_environment() -> dict[str, str]:
    """What Grid Engine's programs need to find it."""
    told = subprocess.run([SCRIPT, "env"], capture_output=True, text=True, check=True).stdout
    return dict(word.split("=", 1) for line in told.splitlines() for word in shlex.split(line)[1:])


class TestGridEngine(ComputingElementContract):
    """Jobs of a real Grid Engine on this host."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = str(tmp_path_factory.mktemp("gridengine") / "pilots")
        system = GridEngine(Door(environment=tuple(ENVIRONMENT.items()), gpu_resource="unheard_of"))
        host = Here(client_environment())
        return Scene(
            lambda: BatchElement(host, system, folder), refused=asking(Request(gpus=1)), patience=30, pause=0.2
        )


QUEUE = """\
interval = "1 s"
[queues.batch]
partition = "main.q"
parallel_environment = "smp"
environment = {{ {environment} }}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    environment = ", ".join(f'{name} = "{value}"' for name, value in client_environment().items())
    plan = Plan(
        kind="gridengine",
        slots=2,
        cores=2,
        memory="3 GB",
        wall_time="20 min",
        queue=QUEUE.format(environment=environment),
    )
    with running_system(tmp_path_factory.mktemp("system") / "central", plan) as system:
        yield system


def element(folder: Path) -> BatchElement:
    """A computing element as a director has it."""
    return BatchElement(Here(client_environment()), GridEngine(Door()), str(folder))


@pytest.fixture(scope="module", autouse=True)
def endless(system: System) -> str:
    """Is submitted before all others, so that nobody has to wait for its end."""
    return element_scene.endless(element(system.folder / "pilots" / "limit"), Request(wall_time=3))


def test_fifty_jobs_in_pilots_that_find_what_they_were_given(system: System) -> None:
    """Fifty jobs run in pilots that the director sent, and these read cores, memory and time from their allocation."""
    for pilot in element_scene.fifty_jobs(system):
        assert element_scene.fact(pilot, "cores") == (2, "Grid Engine: NSLOTS")
        assert element_scene.fact(pilot, "memory")[0] == 3_000_000_000
        assert "of the job, for each of 2 slots" in element_scene.fact(pilot, "memory")[1]
        left, source = element_scene.fact(pilot, "seconds_left")
        assert 1140 <= left <= 1200
        assert source == "Grid Engine: h_rt = 1200 of the job"


def test_a_job_outlives_its_cancelled_pilot(system: System) -> None:
    """qdel gives notice: the pilot hands its job back, which runs elsewhere, and says goodbye."""
    ended, attempt = element_scene.outlived(system, element(system.folder / "pilots" / "local"))
    assert ended.pilot.state is PilotState.DONE, ended
    assert attempt.outcome is Outcome.PREEMPTED


def test_how_a_pilot_was_ended_by_its_limit(system: System, endless: str) -> None:
    """What Grid Engine killed for its time is listed as ended, and why."""
    entry = element_scene.ended(element(system.folder / "pilots" / "limit"), endless)
    assert entry.exit_code == 137
    assert "h_rt" in entry.why


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(cores=2, gpus=2, memory=10**9), "h_vmem=500000000,gpu=2"),
        (Request(cores=4, whole_node=True), "exclusive=true"),
    ],
)
def test_gpus_and_whole_nodes(system: System, request_: Request, expected: str) -> None:
    """Grid Engine takes what is asked for, in its words."""
    host, folder = Here(client_environment()), str(system.folder / "pilots" / "wishes")
    asking_for = BatchElement(host, GridEngine(Door(parallel_environment="smp")), folder)
    reference = element_scene.submitted(asking_for, element_scene.submission("exec sleep 60\n", request_))
    told = asyncio.run(host.run(["qstat", "-j", reference])).output.decode()
    element_scene.cancel(asking_for, reference)
    assert [line for line in told.splitlines() if line.startswith("hard resource_list:") and line.endswith(expected)]


def test_a_master_that_hangs(system: System) -> None:
    """It is not reached: nothing is listed as gone, and nobody knows whether a pilot was taken. Then it answers."""
    environment = client_environment()
    master = int((Path(environment["SGE_ROOT"]) / "spool" / "qmaster" / "qmaster.pid").read_text())
    place = str(system.folder / "pilots" / "hanging")
    hasty = BatchElement(Here(environment, patience=2), GridEngine(Door()), place)
    submission = element_scene.submission("")
    os.kill(master, signal.SIGSTOP)
    try:
        with pytest.raises(ComputingError) as listing:
            asyncio.run(hasty.listing())
        result = element_scene.not_taken(hasty, submission)
    finally:
        os.kill(master, signal.SIGCONT)
    assert listing.value.trouble is Trouble.UNREACHABLE
    assert result.trouble is Trouble.UNREACHABLE
    patient = element(Path(place))
    element_scene.submitted(patient, replace(submission, secret="another"))
    assert element_scene.ended(patient, submission.stamp).stamp == submission.stamp
