"""PBS and Torque: which words they are told, and what their answers, made from documentation, mean."""

from __future__ import annotations

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door
from central.elements.systems.pbs import Family, Pbs, Torque
from tests.unit.element_answers import captured, job, stamp

PBS, TORQUE = Pbs(Door()), Torque(Door())
ASKED = Request(cores=4, memory=1025, gpus=1, wall_time=90)


def asked(system: Family, request: Request) -> list[str]:
    argv = system.submit(job(request)).argv
    return [argv[place + 1] for place, word in enumerate(argv) if word == "-l"]


@pytest.mark.parametrize("system", [PBS, TORQUE])
def test_how_a_job_is_submitted(system: Family) -> None:
    """Its stamp is in a variable, its name has 15 characters, it is not rerun, and it goes to its folder by itself."""
    call = system.submit(job())
    given = " ".join(call.argv)
    assert f"-N p00000000000000 -v PILOTAGE_STAMP={stamp(1)} -r n -m n -S /bin/sh -j oe -o /dev/null" in given
    folder = f"/home/us/pilots/{stamp(1)}"
    expected = f"#!/bin/sh\ncd {folder} || exit\nexec >>{folder}/output 2>&1\nexec {folder}/wrapper.sh\n"
    assert call.stdin.decode() == expected


def test_what_is_asked_for() -> None:
    """One chunk of PBS, one node of Torque; kilobytes rounded up, seconds; a node alone."""
    assert asked(PBS, ASKED) == ["select=1:ncpus=4:mem=2kb:ngpus=1", "place=pack", "walltime=90"]
    assert asked(PBS, Request(cores=8, whole_node=True)) == ["select=1:ncpus=8", "place=pack:exclhost"]
    assert asked(TORQUE, ASKED) == ["nodes=1:ppn=4:gpus=1", "mem=2kb", "walltime=90"]
    assert asked(TORQUE, Request(whole_node=True)) == ["nodes=1:ppn=1", "naccesspolicy=singlejob"]


def test_queue_account_and_more() -> None:
    """What the operator adds comes last."""
    argv = Pbs(Door("workq", "physics", ("-W", "umask=077"))).submit(job()).argv
    assert argv[-2:] == ("-W", "umask=077")
    assert "-q workq -A physics" in " ".join(argv)


def test_the_reference() -> None:
    """The name that qsub prints, with its server's."""
    assert PBS.reference(job(), Ran(0, b"101.head.example.org\n", b"")) == "101.head.example.org"


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (b"qsub: Unknown queue\n", Trouble.REFUSED),
        (b"qsub: Maximum number of jobs already in queue\n", Trouble.FULL),
        (b"qsub: would exceed queue generic's per-user limit of jobs in 'Q' state\n", Trouble.FULL),
        (b"qsub: cannot connect to server head (errno=111) Connection refused\n", Trouble.UNREACHABLE),
        (b"qsub: Bad UID for job execution MSG=ruserok failed\n", Trouble.CREDENTIAL),
    ],
)
def test_why_it_was_not_taken(said: bytes, trouble: Trouble) -> None:
    """What cannot be had, a limit of jobs, a silent server and one that does not know us are told apart."""
    with pytest.raises(ComputingError) as refused:
        TORQUE.reference(job(), Ran(1, b"", said))
    assert refused.value.trouble is trouble


def test_the_list_of_pbs() -> None:
    """Each job of ours with its state and the server's comment; one that was moved away is unknown."""
    running = "R (Job run at Thu Nov 26 at 10:00 on (node1:ncpus=4:mem=2097152kb))"
    assert {entry.stamp: entry for entry in PBS.listed([captured("pbs/qstat.json")])} == {
        stamp(1): Listed(stamp(1), "101.head", Standing.RUNNING, why=running),
        stamp(2): Listed(
            stamp(2), "102.head", Standing.QUEUED, why="Q (Not Running: Insufficient amount of resource: ncpus)"
        ),
        stamp(3): Listed(stamp(3), "103.head", Standing.RUNNING, why="E"),
        stamp(4): Listed(stamp(4), "104.head", Standing.UNKNOWN, why="M"),
    }
    assert PBS.listed([captured("pbs/qstat-empty.json")]) == []


def test_the_list_of_torque() -> None:
    """Completed jobs have their exit code, or the server's own number; none at all is an empty answer."""
    assert {entry.stamp: entry for entry in TORQUE.listed([captured("torque/qstat.xml")])} == {
        stamp(1): Listed(stamp(1), "201.head.example.org", Standing.RUNNING, why="R"),
        stamp(2): Listed(stamp(2), "202.head.example.org", Standing.ENDED, 143, "C"),
        stamp(3): Listed(stamp(3), "203.head.example.org", Standing.ENDED, None, "C, ended by PBS with status -11"),
        stamp(4): Listed(stamp(4), "204.head.example.org", Standing.QUEUED, why="H"),
    }
    assert TORQUE.listed([Ran(0, b"", b"")]) == []


@pytest.mark.parametrize(
    ("system", "answer"),
    [
        (PBS, Ran(0, b"", b"")),
        (PBS, Ran(0, b'{"Jobs": []}', b"")),
        (PBS, Ran(0, b'{"Jobs": {"1": {"comment": 01', b"")),
        (PBS, Ran(1, b"", b"Connection refused")),
        (TORQUE, Ran(0, b"<Data><Job>", b"")),
        (TORQUE, Ran(0, b"qstat: busy", b"")),
    ],
)
def test_no_list(system: Family, answer: Ran) -> None:
    """What is no list is never taken for one without jobs."""
    with pytest.raises(ComputingError) as trouble:
        system.listed([answer])
    assert trouble.value.trouble is Trouble.UNREACHABLE


def test_what_was_not_cancelled() -> None:
    """Jobs that are over or unknown are no failures; those that are not complained of were ended."""
    said = b"qdel: Unknown Job Id 9.head\nqdel: Job has finished 7.head\nqdel: Unauthorized Request  8.head\n"
    assert list(PBS.not_cancelled(["7.head", "8.head", "9.head", "10.head"], Ran(1, b"", said))) == ["8.head"]
    failed = PBS.not_cancelled(["7.head"], Ran(1, b"", b"qdel: cannot connect to server"))
    assert failed["7.head"].trouble is Trouble.UNREACHABLE


def test_what_the_history_of_pbs_says() -> None:
    """A job that is in no list any more and is in the history has ended."""
    assert PBS.past(stamp(1)).argv == ("qselect", "-H", "-N", "p00000000000000")
    entry = PBS.recalled(stamp(1), Ran(0, b"101.head\n", b""))
    assert entry is not None
    assert (entry.reference, entry.standing) == ("101.head", Standing.ENDED)
    assert PBS.recalled(stamp(1), Ran(0, b"", b"")) is None
    assert PBS.recalled(stamp(1), Ran(1, b"", b"qselect: server has no history")) is None
