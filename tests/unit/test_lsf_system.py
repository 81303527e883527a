"""LSF: which words it is told, and what its answers, made from documentation, mean."""

from __future__ import annotations

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door
from central.elements.systems.lsf import Lsf
from tests.unit.element_answers import captured, job, stamp

SYSTEM = Lsf(Door())


def test_how_a_job_is_submitted() -> None:
    """It is named by its stamp, never runs again, has nothing of our environment and goes to its folder by itself."""
    call = Lsf(Door("normal", "physics", ("-sla", "a"), (("A", "b c"),))).submit(job())
    fixed = ("bsub", "-J", "p" + stamp(1), "-rn", "-env", "none", "-o", "/dev/null", "-q", "normal", "-P", "physics")
    assert call.argv == (*fixed, "-n", "1", "-R", "span[hosts=1]", "-sla", "a")
    folder = f"/home/us/pilots/{stamp(1)}"
    expected = (
        f"#!/bin/sh\ncd {folder} || exit\nexec >>{folder}/output 2>&1\nexport A='b c'\nexec {folder}/wrapper.sh\n"
    )
    assert call.stdin.decode() == expected


def test_what_is_asked_for() -> None:
    """Slots on one host, megabytes and minutes rounded up, GPUs, a host alone."""
    argv = SYSTEM.submit(job(Request(cores=4, memory=2**20 + 1, gpus=1, wall_time=61, whole_node=True))).argv
    asked = "-n 4 -R span[hosts=1] -M 2MB -R rusage[mem=2MB] -W 2 -gpu num=1 -x"
    assert " ".join(argv).endswith(asked)


def test_the_reference() -> None:
    """The number in the sentence that bsub prints."""
    assert SYSTEM.reference(job(), Ran(0, b"Job <301> is submitted to queue <normal>.\n", b"")) == "301"


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (b"nosuch: No such queue. Job not submitted.\n", Trouble.REFUSED),
        (b"User's pending job threshold reached. Job not submitted.\n", Trouble.FULL),
        (b"LSF is down. Please wait ...\n", Trouble.UNREACHABLE),
        (b"User permission denied. Job not submitted.\n", Trouble.CREDENTIAL),
    ],
)
def test_why_it_was_not_taken(said: bytes, trouble: Trouble) -> None:
    """What cannot be had, a limit of jobs, a silent cluster and one that does not know us are told apart."""
    with pytest.raises(ComputingError) as refused:
        SYSTEM.reference(job(), Ran(255, b"", said))
    assert refused.value.trouble is trouble


def test_the_list() -> None:
    """Each job of ours with its state, what it waits for or how it ended; unknown is what LSF itself calls so."""
    limit = "EXIT (TERM_RUNLIMIT: job killed after reaching LSF run time limit)"
    assert {entry.stamp: entry for entry in SYSTEM.listed([captured("lsf/bjobs.json")])} == {
        stamp(1): Listed(stamp(1), "301", Standing.RUNNING, why="RUN"),
        stamp(2): Listed(stamp(2), "302", Standing.QUEUED, why="PEND (Job slot limit reached: 4 hosts;)"),
        stamp(3): Listed(stamp(3), "303", Standing.ENDED, 140, limit),
        stamp(4): Listed(stamp(4), "304", Standing.ENDED, 0, "DONE"),
        stamp(5): Listed(stamp(5), "305", Standing.UNKNOWN, why="UNKWN"),
    }


def test_a_list_without_jobs() -> None:
    """LSF has two ways to say that there are none."""
    assert SYSTEM.listed([Ran(255, b"", b"No job found\n")]) == []
    assert SYSTEM.listed([Ran(0, b'{"COMMAND": "bjobs", "JOBS": 0, "RECORDS": []}', b"")]) == []


@pytest.mark.parametrize("answer", [Ran(0, b"", b""), Ran(0, b"{}", b""), Ran(255, b"", b"LSF is down")])
def test_no_list(answer: Ran) -> None:
    """What is no list is never taken for one without jobs."""
    with pytest.raises(ComputingError) as trouble:
        SYSTEM.listed([answer])
    assert trouble.value.trouble is Trouble.UNREACHABLE


def test_what_was_not_cancelled() -> None:
    """Jobs that are over or unknown are no failures."""
    said = (
        b"Job <1> is being terminated\nJob <9>: No matching job found\nJob <2>: Job has already finished\n"
        b"Job <3>: User permission denied\n"
    )
    failed = SYSTEM.not_cancelled(["1", "2", "3", "9"], Ran(255, b"", said))
    assert list(failed) == ["3"]
    assert failed["3"].trouble is Trouble.CREDENTIAL
