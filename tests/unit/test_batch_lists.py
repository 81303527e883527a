"""What the lists of all batch systems have in common, when whoever answers means ill."""

from __future__ import annotations

import json

import pytest

from central.elements.host import MOST_PARTS, Ran
from central.elements.port import ComputingError, Listed, Standing
from central.elements.system import BatchSystem, Door
from central.elements.systems.condor import Condor
from central.elements.systems.gridengine import GridEngine
from central.elements.systems.lists import one_each
from central.elements.systems.pbs import STAMP, Pbs
from tests.unit.element_answers import stamp


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
