"""HTCondor as a computing element: the contract, bad days, and pilots that the director sends through a real pool."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from central.elements.batch import BatchElement
from central.elements.conformance import ComputingElementContract, Scene, asking
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door
from central.elements.trial import ENVIRONMENT
from pilot.states import Outcome, PilotState
from tests.real import element_scene
from tests.real.condor_scene import (
    POOL,
    PROGRAMS,
    SMALL,
    Place,
    in_queue,
    run,
    schedd_process,
    submission,
    take_all_away,
)
from tests.real.element_scene import answer, listed, not_taken, stands, submitted
from tests.system import Plan, System, running_system, wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("PILOTAGE_CONDOR" not in os.environ, reason="what this needs is set up by the lane condor"),
]


def scene_of(place: Place) -> Scene:
    refused = asking(Request(cores=100_000))  # as the pool's requirements of jobs have it: else HTCondor takes anything
    return Scene(place.element, refused, request=SMALL, patience=30, pause=0.2, unknown="99999999.0")


class TestCondor(ComputingElementContract):
    """Jobs of the schedd of this host."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = str(tmp_path_factory.mktemp("condor") / "pilots")
        return scene_of(Place(folder, Door(environment=tuple(ENVIRONMENT.items()))))


class TestCondorSpooling(ComputingElementContract):
    """Jobs of a schedd that does not see this host's files, as that of an HTCondor-CE."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = str(tmp_path_factory.mktemp("spool") / "pilots")
        return scene_of(Place(folder, Door(environment=tuple(ENVIRONMENT.items()))).named())


# -- bad days ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An adapter's folder; no job is left afterwards."""
    yield Place(str(tmp_path / "pilots"))
    take_all_away()


def test_what_is_held_counts_as_ended_and_goes(place: Place) -> None:
    """A pilot that HTCondor holds, here for a file that is missing, is told as ended and why; forgotten, it is gone."""
    element = replace(place, door=Door(extra=("transfer_input_files = secret,missing",))).element()
    one = submission()
    reference = submitted(element, one)
    held = stands(element, one.stamp, Standing.ENDED)
    assert held.why.startswith("held: ")
    assert "missing" in held.why
    asyncio.run(element.forget(one.stamp, reference))
    assert one.stamp not in in_queue()


def test_what_was_put_back_is_not_started_again(place: Place) -> None:
    """A pilot that its computer gave up is taken away instead of being started a second time."""
    element, one = place.element(), submission(f"echo started >>{place.folder}/started\nexec sleep 600\n")
    reference = submitted(element, one)
    wait_for(Path(place.folder, "started").exists, 30, "its start")
    run("condor_vacate_job", "-fast", reference)
    assert "PeriodicRemove" in stands(element, one.stamp, Standing.ENDED).why
    assert Path(place.folder, "started").read_text() == "started\n"


def test_a_schedd_that_does_not_answer(place: Place) -> None:
    """While the schedd hangs nothing is known and nothing is lost; when it goes on, all is as it was."""
    element, hasty = place.element(), place.element(patience=3)
    one, other = submission(), submission()
    reference = submitted(element, one)
    stands(element, one.stamp, Standing.RUNNING)
    os.kill(schedd := schedd_process(), signal.SIGSTOP)
    try:
        with pytest.raises(ComputingError) as told:
            asyncio.run(hasty.listing())
        refused = [told.value, not_taken(hasty, other), *asyncio.run(hasty.cancel([reference])).values()]
        assert [error.trouble for error in refused] == [Trouble.UNREACHABLE] * 3
    finally:
        os.kill(schedd, signal.SIGCONT)
    stands(element, one.stamp, Standing.RUNNING)
    assert listed(element, other.stamp) is None
    submitted(element, other)
    assert sorted(in_queue()) == sorted((one.stamp, other.stamp))


def test_pilots_outlive_their_schedd(place: Place) -> None:
    """A pilot goes on when the schedd is killed and comes back, and is not taken for one that starts again."""
    element, one = place.element(), submission(f"echo started >>{place.folder}/started\nexec sleep 600\n")
    submitted(element, one)
    wait_for(lambda: run("condor_q", "-autoformat", "NumJobStarts").strip() == "1", 30, "its start to be written down")
    os.kill(schedd_process(), signal.SIGKILL)

    def back() -> Listed | None:
        try:
            return listed(element, one.stamp)
        except ComputingError:
            return None

    wait_for(back, 40, "the schedd to come back")
    stands(element, one.stamp, Standing.RUNNING)
    assert Path(place.folder, "started").read_text() == "started\n"


def test_why_nothing_is_taken(place: Place) -> None:
    """A credential that is not good and a quota that is used up are told apart, and from an address that is wrong; when
    there is room again, what was not taken is."""
    stranger = place.element(_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS="SCITOKENS")
    lost = replace(place, door=Door(schedd="nobody@nowhere")).element()
    for element, expected in ((stranger, Trouble.CREDENTIAL), (lost, Trouble.UNREACHABLE)):
        assert not_taken(element, submission()).trouble is expected
        (failure,) = asyncio.run(element.cancel(["1.0"])).values()
        assert failure.trouble is expected
        with pytest.raises(ComputingError) as told:
            asyncio.run(element.listing())
        assert told.value.trouble is expected
    for many in (20, 1):  # some of those before may still be ending, and count
        fill = f"executable = /bin/true\ntransfer_executable = false\ninitialdir = /\nhold = true\nqueue {many}\n"
        while not subprocess.run([f"{PROGRAMS}/condor_submit"], input=fill.encode(), capture_output=True).returncode:
            pass
    one = submission()
    assert not_taken(place.element(), one).trouble is Trouble.FULL
    take_all_away()
    wait_for(lambda: isinstance(answer(place.element(), one), str), 30, "room")


# -- pilots that the director sends ------------------------------------------------------------------------------------

QUEUE = """\
interval = "1 s"
[queues.batch]
programs = "{programs}"
"""


@pytest.fixture(scope="module")
def overstayer(tmp_path_factory: pytest.TempPathFactory) -> tuple[BatchElement, str]:
    """An adapter, and the stamp of what it has submitted, which stays for longer than it may."""
    element = Place(str(tmp_path_factory.mktemp("overstayer") / "pilots")).element()
    return element, element_scene.endless(element, Request(wall_time=3))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, overstayer: tuple[BatchElement, str]) -> Iterator[System]:
    plan = Plan(
        kind="condor",
        slots=2,
        cores=2,
        memory="1 GiB",
        disk="1 GB",
        wall_time="20 min",
        queue=QUEUE.format(programs=PROGRAMS),
    )
    with running_system(tmp_path_factory.mktemp("system") / "central", plan) as system:
        yield system
        take_all_away()


def element_of(system: System) -> BatchElement:
    """The queue's computing element, as the director has it."""
    return Place(str(system.folder / "pilots" / "local")).element()


def test_fifty_jobs_in_pilots_that_find_what_they_were_given(system: System) -> None:
    """Fifty jobs run in pilots that the director sent; these read cores, memory, disk and time from their slot."""
    for pilot in element_scene.fifty_jobs(system):
        assert element_scene.fact(pilot, "cores") == (min(2, os.cpu_count() or 1), "HTCondor: Cpus of the slot")
        assert element_scene.fact(pilot, "memory") == (1024**3, "HTCondor: Memory of the slot")
        # The slot has a little more than was asked for, else it would bind.
        assert element_scene.fact(pilot, "disk") == (10**9, "declared by the queue")
        left, source = element_scene.fact(pilot, "seconds_left")
        assert 1140 <= left <= 1200
        assert source == "HTCondor: AllowedJobDuration = 1200 of the job"


def test_a_job_outlives_its_cancelled_pilot(system: System) -> None:
    """condor_rm gives notice: the pilot hands its job back, which runs elsewhere, and says goodbye."""
    ended, attempt = element_scene.outlived(system, element_of(system))
    assert ended.pilot.state is PilotState.DONE, ended
    assert attempt.outcome is Outcome.PREEMPTED


def test_how_a_pilot_was_ended_by_its_limit(overstayer: tuple[BatchElement, str]) -> None:
    """What HTCondor killed for its time is listed as ended, and why."""
    element, stamp = overstayer
    assert "exceeded allowed job duration" in element_scene.ended(element, stamp).why


def test_pilots_by_way_of_a_schedd_that_has_a_name(tmp_path: Path) -> None:
    """A pilot that was sent by name, its files spooled, runs a job, and once it is over nothing is left of it there."""
    name = run("condor_status", "-schedd", "-autoformat", "Name").strip()
    section = f'[queues.schedd]\nname = "{name}"\npool = "{POOL}"\nspool = true\n'
    plan = Plan(
        kind="condor",
        slots=1,
        cores=1,
        memory="1 GiB",
        disk="1 GB",
        idle="2 s",
        queue=QUEUE.format(programs=PROGRAMS) + section,
    )
    with running_system(tmp_path / "central", plan) as system, system.client() as client:
        (job,) = client.submit([{"command": ["true"], "needs": {"cores": 1, "wall_time": 5}}]).ids
        client.wait([job], timeout=60)
        (attempt,) = client.attempts(job)
        assert element_scene.over(client, attempt.pilot).pilot.state is PilotState.DONE
        wait_for(lambda: attempt.pilot not in in_queue(), 30, "the end of what the schedd keeps of it", system.log)
