"""Grid Engine: which words it is told, and what its captured answers mean."""

from __future__ import annotations

import shlex

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door
from central.elements.systems.gridengine import GridEngine
from tests.unit.element_answers import captured, job, stamp

SYSTEM = GridEngine(Door())


def words(request: Request, door: Door) -> str:
    """What qsub is told of resources and places."""
    argv = GridEngine(door).submit(job(request)).argv
    return " ".join(argv[argv.index("-o") + 2 :])


def test_how_a_job_is_submitted() -> None:
    """It is named by its stamp, not rerun, given notice, read by sh, and prints into its folder."""
    call = SYSTEM.submit(job())
    fixed = ("qsub", "-terse", "-r", "n", "-notify", "-N", "p" + stamp(1), "-S", "/bin/sh")
    folder = f"/home/us/pilots/{stamp(1)}"
    assert call.argv == (*fixed, "-wd", folder, "-j", "y", "-o", f"{folder}/output")


@pytest.mark.parametrize(
    ("request_", "door", "expected"),
    [
        (Request(wall_time=90), Door(), "-l h_rt=90"),
        (
            Request(cores=3, memory=1000, wall_time=60),
            Door(parallel_environment="smp"),
            "-pe smp 3 -l h_vmem=334,h_rt=60",
        ),
        (Request(memory=1000), Door(memory_resource="m_mem_free"), "-l m_mem_free=1000"),
        (Request(gpus=2, whole_node=True), Door(), "-l gpu=2,exclusive=true"),
        (Request(gpus=1), Door(gpu_resource="ngpus"), "-l ngpus=1"),
        (Request(), Door("main.q", "physics", ("-l", "avx2=1")), "-q main.q -P physics -l avx2=1"),
    ],
)
def test_what_is_asked_for(request_: Request, door: Door, expected: str) -> None:
    """Cores in the site's parallel environment, memory for each slot and rounded up, seconds; what was not given is not
    asked for, and what the operator adds comes last."""
    assert words(request_, door) == expected


def test_several_cores_need_a_parallel_environment() -> None:
    """Without one the submission is refused, in a sentence that says what to set."""
    with pytest.raises(ComputingError, match="batch.parallel_environment") as refused:
        SYSTEM.submit(job(Request(cores=2)))
    assert refused.value.trouble is Trouble.REFUSED


def test_the_environment_of_pilots() -> None:
    """Values with commas, quotes and dollars reach the pilot as they are, in a script that becomes the wrapper."""
    values = {"no_proxy": "a,.b", "ODD": 'it\'s "$HOME" `x` \\', "EMPTY": ""}
    script = GridEngine(Door(environment=tuple(values.items()))).submit(job()).stdin.decode()
    assert script.endswith(f"\nexec /home/us/pilots/{stamp(1)}/wrapper.sh\n")
    exports = [shlex.split(line)[1] for line in script.splitlines() if line.startswith("export ")]
    assert dict(word.split("=", 1) for word in exports) == values


@pytest.mark.parametrize(
    ("answer", "code", "trouble"),
    [
        ("qsub-refused", 1, Trouble.REFUSED),
        ("qsub-full", 1, Trouble.FULL),
        ("qstat-unreachable", 1, Trouble.UNREACHABLE),
    ],
)
def test_why_it_was_not_taken(answer: str, code: int, trouble: Trouble) -> None:
    """A bad request, a limit of jobs, and a master that does not answer are told apart."""
    with pytest.raises(ComputingError) as refused:
        SYSTEM.reference(job(), captured(f"gridengine/{answer}", code))
    assert refused.value.trouble is trouble


def test_the_reference() -> None:
    """The number that qsub prints last, whatever the site's own checks print before."""
    assert SYSTEM.reference(job(), captured("gridengine/qsub")) == "49"
    assert SYSTEM.reference(job(), Ran(0, b"Welcome to 7 clusters!\n50\n", b"")) == "50"


def test_the_list() -> None:
    """Each of our jobs with its number and state; a stamp that has a job alive is not over, whatever ended before."""
    assert {entry.stamp: entry for entry in SYSTEM.listed([captured("gridengine/qstat.xml")])} == {
        stamp(1): Listed(stamp(1), "49", Standing.RUNNING, why="r"),
        stamp(2): Listed(stamp(2), "50", Standing.RUNNING, why="dr (being deleted)"),
        stamp(3): Listed(stamp(3), "51", Standing.ENDED, why="Eqw (in error)"),
        stamp(4): Listed(stamp(4), "56", Standing.QUEUED, why="qw"),
        stamp(5): Listed(stamp(5), "53", Standing.QUEUED, why="hqw (held)"),
        stamp(6): Listed(stamp(6), "54", Standing.QUEUED, why="qw"),
    }


@pytest.mark.parametrize(
    "answer",
    [
        captured("gridengine/qstat-unreachable", 1),
        Ran(0, b"", b""),
        Ran(0, b"<job_info><queue_info>", b""),
        Ran(0, b"<html></html>", b""),
        Ran(0, b'<!DOCTYPE x [<!ENTITY a "aa">]><job_info>&a;</job_info>', b""),
    ],
)
def test_no_list(answer: Ran) -> None:
    """What is no list is never taken for one without jobs."""
    with pytest.raises(ComputingError) as trouble:
        SYSTEM.listed([answer])
    assert trouble.value.trouble is Trouble.UNREACHABLE


def test_an_odd_state_is_unknown() -> None:
    """A state that nobody has described says nothing."""
    text = f"<job_info><job_list><JB_name>p{stamp(1)}</JB_name><state>?</state></job_list></job_info>"
    assert [entry.standing for entry in SYSTEM.listed([Ran(0, text.encode(), b"")])] == [Standing.UNKNOWN]


def test_what_was_not_cancelled() -> None:
    """Ended, unknown and already deleted jobs are no failures; the others are, and all when nobody answered."""
    assert SYSTEM.not_cancelled(["50", "99999"], captured("gridengine/qdel", 1)) == {}
    refused = Ran(1, b'denied: job "8" does not exist\nroot - you do not have the necessary privileges\n', b"")
    assert list(SYSTEM.not_cancelled(["8", "9"], refused)) == ["9"]
    unreachable = SYSTEM.not_cancelled(["8"], captured("gridengine/qstat-unreachable", 1))
    assert unreachable["8"].trouble is Trouble.UNREACHABLE


def test_how_a_job_was_ended() -> None:
    """The accounts say which limit a job met; one that was deleted has the code of its signal; none: nothing."""
    limit = SYSTEM.recalled(stamp(4), captured("gridengine/qacct-limit"))
    why = "failed 37: qmaster enforced h_rt, h_cpu, or h_vmem limit"
    assert limit == Listed(stamp(4), "52", Standing.ENDED, 137, why)
    deleted = SYSTEM.recalled(stamp(1), captured("gridengine/qacct-deleted"))
    assert deleted is not None
    assert (deleted.exit_code, deleted.why) == (137, "failed 100: assumedly after job")
    assert SYSTEM.recalled(stamp(1), Ran(1, b"", b"error: job name not found")) is None
    assert SYSTEM.recalled(stamp(9), captured("gridengine/qacct-limit")) is None
