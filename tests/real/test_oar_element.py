"""OAR as a computing element: the contract, and pilots that the director sends through a real one."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from central.elements.batch import BatchElement
from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.port import Request
from central.elements.system import Door
from central.elements.systems.oar import Oar
from central.elements.trial import ENVIRONMENT
from pilot.states import Outcome, PilotState
from tests.real import element_scene
from tests.real.slurm_scene import SEARCH, HereAs
from tests.system import Plan, System, running_system

USER = os.environ.get("PILOTAGE_OAR_USER", "")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not USER, reason="what this needs is set up by the lane oar"),
]
QUEUE = """\
interval = "2 s"
[queues.batch]
partition = "default"
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of the user who submits: OAR takes no jobs of root."""
    with tempfile.TemporaryDirectory(prefix="pilotage-oar-", dir=pwd.getpwnam(USER).pw_dir) as name:
        shutil.chown(name, USER, USER)
        yield Path(name)


def element(folder: Path, environment: Mapping[str, str]) -> BatchElement:
    """An adapter to it, which acts as the user."""
    host = HereAs(USER, {"PATH": SEARCH}, 30)
    return BatchElement(host, Oar(Door(environment=tuple(environment.items()))), str(folder))


@pytest.fixture(scope="module", autouse=True)
def endless(folder: Path) -> str:
    """Is submitted before all others, so that nobody has to wait for its end."""
    return element_scene.endless(element(folder / "limit", {}), Request(wall_time=3))


class TestOar(ComputingElementContract):
    """Jobs of a real OAR on this host."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, folder: Path) -> Scene:
        return Scene(
            lambda: element(folder / "contract", ENVIRONMENT),
            refused=asking(Request(cores=100_000)),
            patience=90,
            pause=1.0,
        )


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    plan = Plan(
        kind="oar",
        user=USER,
        slots=2,
        cores=2,
        memory="1 GB",
        wall_time="20 min",
        lease="20 s",
        silent_after="8 s",
        queue=QUEUE,
        workers=1,
    )
    with running_system(folder / "central", plan) as system:
        yield system


def test_fifty_jobs_in_pilots_that_find_what_they_were_given(system: System) -> None:
    """Fifty jobs run in pilots that the director sent, and these read cores and time from their allocation."""
    for pilot in element_scene.fifty_jobs(system):
        assert element_scene.fact(pilot, "cores") == (2, "OAR: OAR_NODEFILE")
        left, source = element_scene.fact(pilot, "seconds_left")
        assert 1140 <= left <= 1200
        assert source == "OAR: a wall time of 1200 s"


def test_a_job_outlives_its_cancelled_pilot(system: System) -> None:
    """oardel kills without notice: what has become of the pilot is told, and its job runs in another."""
    ended, attempt = element_scene.outlived(system, element(system.folder / "pilots" / "local", {}))
    assert attempt.outcome is Outcome.LOST
    assert ended.pilot.state is PilotState.LOST, ended
    assert "FRAG_JOB_REQUEST" in ended.pilot.message


def test_how_a_pilot_was_ended_by_its_limit(folder: Path, endless: str) -> None:
    """What OAR killed for its time is listed as ended, and why."""
    entry = element_scene.ended(element(folder / "limit", {}), endless)
    assert "WALLTIME" in entry.why
