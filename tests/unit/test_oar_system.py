"""OAR: which words it is told, and what its captured answers mean."""

from __future__ import annotations

import shlex

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door
from central.elements.systems.oar import Oar
from tests.unit.element_answers import captured, job, stamp

SYSTEM = Oar(Door())
FOLDER = f"/home/us/pilots/{stamp(1)}"


def test_how_a_job_is_submitted() -> None:
    """It is named by its stamp and prints into its folder; its command is the wrapper, with the queue's environment."""
    call = Oar(Door(environment=(("ODD", "it's a,b $HOME"),))).submit(job())
    *argv, command = call.argv
    output = ("-O", f"{FOLDER}/output", "-E", f"{FOLDER}/output")
    assert argv == ["oarsub", "-n", "p" + stamp(1), "-d", FOLDER, *output, "-l", "/nodes=1/core=1"]
    assert shlex.split(command) == ["exec", "env", "ODD=it's a,b $HOME", f"{FOLDER}/wrapper.sh"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(cores=4, wall_time=3661), "/nodes=1/core=4,walltime=1:1:1"),
        (Request(cores=4, memory=10**9), "/nodes=1/core=4"),
        (Request(cores=3, gpus=2), "/nodes=1/gpu=2/core=2"),
        (Request(cores=16, whole_node=True, wall_time=60), "/nodes=1,walltime=0:1:0"),
    ],
)
def test_what_is_asked_for(request_: Request, expected: str) -> None:
    """A path through the resources of one node, and hours, minutes and seconds; memory has no word."""
    argv = SYSTEM.submit(job(request_)).argv
    assert argv[argv.index("-l") + 1] == expected


def test_queue_project_and_more() -> None:
    """The queue, the project and what the operator adds come before the command."""
    argv = Oar(Door("besteffort", "physics", ("-p", "cluster='a'"))).submit(job()).argv
    assert argv[-7:-1] == ("-q", "besteffort", "--project", "physics", "-p", "cluster='a'")


def test_the_reference() -> None:
    """The number that oarsub prints among what admission rules say."""
    assert SYSTEM.reference(job(), captured("oar/oarsub")) == "3"


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (captured("oar/oarsub-refused", 8), Trouble.REFUSED),
        (Ran(0, b"OAR_JOB_ID=-5\n", b""), Trouble.REFUSED),
        (Ran(1, b"", b"[ADMISSION RULE] Error: quota exceeded for user us\n"), Trouble.FULL),
        (Ran(1, b"", b"DBI connect('database=oar') failed: could not connect to server\n"), Trouble.UNREACHABLE),
    ],
)
def test_why_it_was_not_taken(answer: Ran, trouble: Trouble) -> None:
    """What cannot be had, a quota, and a database that does not answer are told apart."""
    with pytest.raises(ComputingError) as refused:
        SYSTEM.reference(job(), answer)
    assert refused.value.trouble is trouble


def test_the_list() -> None:
    """Each of our jobs with its number, its state, and what is said of one that waits; OAR prints nothing for none."""
    waits = f"Waiting (R=4,W=0:1:0,J=B,N=p{stamp(4)})"
    assert {entry.stamp: entry for entry in SYSTEM.listed([captured("oar/oarstat")])} == {
        stamp(1): Listed(stamp(1), "3", Standing.RUNNING, why="Running"),
        stamp(2): Listed(stamp(2), "4", Standing.RUNNING, why="Running"),
        stamp(3): Listed(stamp(3), "5", Standing.RUNNING, why="Running"),
        stamp(4): Listed(stamp(4), "6", Standing.QUEUED, why=waits),
    }
    assert SYSTEM.listed([Ran(0, b"\n", b"")]) == []


@pytest.mark.parametrize("answer", [Ran(1, b"", b"no"), Ran(0, b"[]", b""), Ran(0, b'{"1": {', b"")])
def test_no_list(answer: Ran) -> None:
    """What is no list is never taken for one without jobs."""
    with pytest.raises(ComputingError) as trouble:
        SYSTEM.listed([answer])
    assert trouble.value.trouble is Trouble.UNREACHABLE


def test_odd_jobs_are_unknown() -> None:
    """A state that nobody has described says nothing, and what is no job is left out."""
    text = f'{{"1": {{"name": "p{stamp(1)}", "state": "Dancing"}}, "2": 7, "3": {{"name": 7}}}}'
    assert SYSTEM.listed([Ran(0, text.encode(), b"")]) == [Listed(stamp(1), "1", Standing.UNKNOWN, why="Dancing")]


def test_what_was_not_cancelled() -> None:
    """Jobs that are over or unknown are no failures."""
    assert SYSTEM.not_cancelled(["3", "99999"], captured("oar/oardel", 1)) == {}
    assert SYSTEM.not_cancelled(["3"], captured("oar/oardel-again", 6)) == {}
    failed = SYSTEM.not_cancelled(["3"], Ran(1, b"", b"could not connect to server"))
    assert failed["3"].trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize(
    ("number", "reference", "code", "why"),
    [
        (1, "3", None, "Error (FRAG_JOB_REQUEST: User somebody requested to frag the job 3)"),
        (2, "4", None, "Error (WALLTIME: [sarko] Job [4] from "),
        (3, "5", 3, "Terminated"),
    ],
)
def test_how_a_job_was_ended(number: int, reference: str, code: int | None, why: str) -> None:
    """The database says who or what ended a job, or its exit code."""
    entry = SYSTEM.recalled(stamp(number), captured(f"oar/oarstat-past-{number}"))
    assert entry is not None
    assert (entry.reference, entry.standing, entry.exit_code) == (reference, Standing.ENDED, code)
    assert entry.why.startswith(why)


def test_only_what_ended_is_recalled() -> None:
    """A job that lives, another's, and no job at all are not what became of a pilot."""
    assert SYSTEM.recalled(stamp(1), captured("oar/oarstat")) is None
    assert SYSTEM.recalled(stamp(9), captured("oar/oarstat-past-1")) is None
    assert SYSTEM.recalled(stamp(1), Ran(0, b"", b"")) is None
