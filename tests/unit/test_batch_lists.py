"""What the lists of all batch systems have in common, when whoever answers means ill."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from central.elements.host import MOST_PARTS, Ran
from central.elements.port import ComputingError, Listed, Standing, Trouble
from central.elements.system import BatchSystem, Door
from central.elements.systems.condor import Condor
from central.elements.systems.gridengine import GridEngine
from central.elements.systems.lists import one_each
from central.elements.systems.lsf import Lsf
from central.elements.systems.pbs import STAMP, Pbs, Torque
from central.elements.systems.slurm import Slurm
from tests.unit.element_answers import job, stamp


@pytest.mark.parametrize(
    ("system", "answer"),
    [
        (Condor(Door()), b"[" + b"{}," * MOST_PARTS + b"{}]"),
        (Pbs(Door()), b'{"Jobs":{}, "more":[' + b"[]," * MOST_PARTS + b"[]]}"),
        (GridEngine(Door()), b"<job_info>" + b"<a/>" * 2 * MOST_PARTS + b"</job_info>"),
    ],
    ids=["condor", "pbs", "gridengine"],
)
def test_an_answer_that_would_take_minutes_to_read_is_not_read(system: BatchSystem, answer: bytes) -> None:
    """Millions of empty parts are no list of jobs, and keep the central from nothing else."""
    with pytest.raises(ComputingError, match="gave no list of jobs"):
        system.listed([Ran(0, answer, b"")])


def test_a_reference_is_no_option() -> None:
    """A job whose name would be an option to the program that ends jobs is listed without it."""
    jobs = {"-Wforce": stamp(1), "7.head": stamp(2), "8[].head": stamp(3)}
    told = {number: {"Variable_List": {STAMP: each}, "job_state": "R"} for number, each in jobs.items()}
    listed = Pbs(Door()).listed([Ran(0, json.dumps({"Jobs": told}).encode(), b"")])
    assert [(entry.stamp, entry.reference, entry.standing) for entry in listed] == [
        (stamp(1), "", Standing.RUNNING),
        (stamp(2), "7.head", Standing.RUNNING),
        (stamp(3), "8[].head", Standing.RUNNING),
    ]
    assert one_each([Listed(stamp(1), "12.0", Standing.QUEUED)]) == [Listed(stamp(1), "12.0", Standing.QUEUED)]


@pytest.mark.parametrize("system", [Condor, GridEngine, Lsf, Pbs, Slurm, Torque])
def test_an_answer_that_tells_nothing_is_no_refusal(system: Callable[[Door], BatchSystem]) -> None:
    """Where a submit program has not failed and names no job, the job may have been taken all the same."""
    with pytest.raises(ComputingError) as told:
        system(Door()).reference(job(), Ran(0, b"a word of the day\n", b""))
    assert told.value.trouble is Trouble.UNREACHABLE


def _condor(number: int, owner: str, running: bool) -> object:
    status = 2 if running else 4
    return {"ClusterId": number, "ProcId": 0, "Owner": owner, "PilotageStamp": stamp(1), "JobStatus": status}


def _pbs(number: int, owner: str, running: bool) -> object:
    state = "R" if running else "F"
    return {"Job_Owner": f"{owner}@login{number}", "Variable_List": {STAMP: stamp(1)}, "job_state": state}


def _torque(number: int, owner: str, running: bool) -> str:
    state = f"<job_state>{'R' if running else 'C'}</job_state><Job_Owner>{owner}@login{number}</Job_Owner>"
    return f"<Job><Job_Id>{number}.head</Job_Id>{state}<Variable_List>{STAMP}={stamp(1)}</Variable_List></Job>"


@pytest.mark.parametrize(
    ("system", "answer"),
    [
        (Condor(Door()), lambda jobs: json.dumps([_condor(*each) for each in jobs])),
        (Pbs(Door()), lambda jobs: json.dumps({"Jobs": {f"{each[0]}.head": _pbs(*each) for each in jobs}})),
        (Torque(Door()), lambda jobs: f"<Data>{''.join(_torque(*each) for each in jobs)}</Data>"),
    ],
    ids=["condor", "pbs", "torque"],
)
def test_another_users_job_is_no_pilot(
    system: BatchSystem, answer: Callable[[Sequence[tuple[int, str, bool]]], str]
) -> None:
    """A job by which another user claims to be a pilot of ours is not believed; one of ours that was submitted again
    is."""

    def listed(*jobs: tuple[int, str, bool]) -> list[tuple[str, Standing]]:
        entries = system.listed([Ran(0, answer(jobs).encode(), b"")])
        return [(entry.reference.partition(".")[0], entry.standing) for entry in entries]

    assert listed((100, "else", True), (99, "us", False)) == [("99", Standing.ENDED)]
    assert listed((99, "us", False), (100, "us", True)) == [("100", Standing.RUNNING)]
