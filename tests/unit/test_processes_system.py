"""Plain processes as a batch system: what their list means."""

from __future__ import annotations

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door, Job
from central.elements.systems.processes import HEAD, Processes

ONE, TWO, THREE = (f"{number:032x}" for number in (1, 2, 3))
HERE = "login1/6f2c"
PILOTS = Processes("/home/p/pilots", Door())


def listed(marks: str, processes: str = "", here: str = HERE) -> list[Listed]:
    return list(PILOTS.listed([Ran(0, f"Welcome!\n\n{HEAD}\n{here}\n{marks}\n{processes}".encode(), b"")]))


def mark(stamp: str, where: str = HERE) -> str:
    return f"./{stamp}/started:{where} 4711\n"


def test_those_with_a_process_run() -> None:
    """A pilot runs while its guard or its wrapper is there; whatever else is told of its folder does not count."""
    processes = (
        f"sh /home/p/pilots/{ONE}/guard.sh /home/p/pilots/{ONE} 3600 60\n"
        f"/bin/sh /home/p/pilots/{TWO}/wrapper.sh\n"
        f"tail -f /home/p/pilots/{THREE}/output\n"
    )
    found = {entry.stamp: entry.standing for entry in listed(mark(ONE) + mark(TWO) + mark(THREE), processes)}
    assert found == {ONE: Standing.RUNNING, TWO: Standing.RUNNING, THREE: Standing.ENDED}


def test_one_that_is_just_being_started_runs() -> None:
    """Before it is its guard, a process has the words of what starts it."""
    [entry] = listed(mark(ONE), f"sh -s {ONE} /home/p/pilots/{ONE} 3600 60 A=b\n")
    assert entry.standing is Standing.RUNNING


def test_why_one_ended() -> None:
    """What the guard says of the end is told; so is that the host has been started anew since."""
    marks = mark(ONE) + f"./{ONE}/why:its wall time of 60 s was over\n" + mark(TWO, "login1/0000")
    found = {entry.stamp: entry for entry in listed(marks)}
    assert found[ONE] == Listed(ONE, ONE, Standing.ENDED, why="its wall time of 60 s was over")
    assert found[TWO] == Listed(TWO, TWO, Standing.ENDED, why="the host was started anew")


def test_of_one_on_another_host_nothing_is_known() -> None:
    """Several hosts may go by one name and share the folder: that there is no process here means nothing then."""
    [entry] = listed(mark(ONE, "login2/6f2c"))
    assert entry.standing is Standing.UNKNOWN
    assert entry.why == "it was started on login2, and this is login1"


def test_one_that_was_not_started_is_not_listed() -> None:
    """A folder alone says nothing."""
    assert listed("") == []
    assert PILOTS.listed([Ran(0, f"{HEAD}\n".encode(), b"")]) == []


@pytest.mark.parametrize(
    "ran",
    [
        Ran(1, b"", b"ps: not found"),
        Ran(0, f"{HEAD}\n{HERE}\n{mark(ONE)}".encode(), b""),
        Ran(0, b"", b""),
    ],
)
def test_a_list_that_cannot_be_trusted_is_none(ran: Ran) -> None:
    """Where ps did not run, or the answer was cut short, no pilot is taken for gone."""
    with pytest.raises(ComputingError) as caught:
        PILOTS.listed([ran])
    assert caught.value.trouble is Trouble.UNREACHABLE


def test_what_is_handed_over() -> None:
    """The wall time and the environment are words of their own; nothing that is secret is among them."""
    pilots = Processes("/home/p/pilots", Door(environment=(("A", "b c"),)), grace=9)
    job = Job(ONE, f"/home/p/pilots/{ONE}", Request(wall_time=60))
    assert pilots.submit(job).argv == ("sh", "-s", ONE, job.folder, "60", "9", "A=b c")
    assert PILOTS.submit(Job(ONE, job.folder, Request())).argv == ("sh", "-s", ONE, job.folder, "", "60")


def test_one_that_was_not_started_is_told() -> None:
    """What the host says of a start that failed is told, and it is tried again."""
    with pytest.raises(ComputingError, match="was not started: there is no setsid") as caught:
        PILOTS.reference(Job(ONE, "/f", Request()), Ran(1, b"", b"there is no setsid\n"))
    assert caught.value.transient


def test_cancelling() -> None:
    """Only stamps are cancelled; those on another host are failures."""
    assert PILOTS.cancel([ONE, "999", "-1", TWO]).argv == ("sh", "-s", "/home/p/pilots", ONE, TWO)
    failed = PILOTS.not_cancelled([ONE, TWO], Ran(0, f"{TWO} login2\n".encode(), b""))
    assert {stamp: str(error) for stamp, error in failed.items()} == {
        TWO: f"pilot {TWO} runs on login2, and this is another host"
    }
    assert set(PILOTS.not_cancelled([ONE, TWO], Ran(1, b"", b"no"))) == {ONE, TWO}
