"""A batch system as a computing element: what its list and the folders of pilots say together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from central.elements.batch import BatchElement
from central.elements.host import Ran
from central.elements.places import HEAD
from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble
from central.elements.system import Call, Job

ONE, TWO, THREE = (f"{number:032x}" for number in (1, 2, 3))


@dataclass
class ToldHost:
    """Remembers what it is to run, and answers as it was told: by a word of the arguments, else with nothing."""

    answers: Mapping[str, Ran] = field(default_factory=dict)
    ran: list[tuple[str, ...]] = field(default_factory=list)
    name = "afar"

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        self.ran.append(tuple(argv))
        found = next((answer for word, answer in self.answers.items() if any(word in each for each in argv)), None)
        return found or Ran(0, b"", b"")

    async def close(self) -> None:
        self.ran.append(("closed",))


@dataclass
class PlainSystem:
    """A batch system of four programs, whose list is given."""

    jobs: Sequence[Listed] = ()
    lag = 5.0
    shared = True

    def submit(self, job: Job) -> Call:
        return Call(("hand-over", job.script), environment=(("TO_PASS", "a b"),))

    def reference(self, job: Job, ran: Ran) -> str:
        if ran.code:
            raise ComputingError(ran.said, Trouble.FULL)
        return job.stamp[-1]

    def list_calls(self) -> Sequence[Call]:
        return (Call(("tell",)),)

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        return self.jobs

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("stop", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        return {}

    def fetch(self, folder: str, reference: str) -> Call | None:
        return Call(("fetch", folder, reference))

    def forget(self, reference: str) -> Call | None:
        return None


def merged(jobs: Sequence[Listed], folders: str) -> Sequence[Listed]:
    host = ToldHost({"find": Ran(0, f"{HEAD}\n{folders}".encode(), b"")})
    return asyncio.run(BatchElement(host, PlainSystem(jobs), "/pilots").listing())


def test_a_job_with_a_folder() -> None:
    """What the batch system says of a job that has a folder is what is listed; jobs without one are not ours."""
    jobs = [Listed(ONE, "1", Standing.QUEUED, why="Resources"), Listed(THREE, "3", Standing.RUNNING)]
    assert merged(jobs, f"{ONE}\n\n") == [jobs[0]]


def test_a_folder_without_a_job() -> None:
    """A pilot that left its code has ended, though the system knows it no more; one that left none may live."""
    assert merged([], f"{ONE}\n{TWO}\n\n./{TWO}/exit:7\n") == [Listed(TWO, "", Standing.ENDED, 7)]


@pytest.mark.parametrize("standing", [Standing.ENDED, Standing.UNKNOWN])
def test_the_wrappers_own_code_counts(standing: Standing) -> None:
    """Where the job ended, or nothing is known of it, the code that the wrapper left is the pilot's."""
    [entry] = merged([Listed(ONE, "1", standing, 271, "as it says")], f"{ONE}\n\n./{ONE}/exit:7\n")
    assert entry == Listed(ONE, "1", Standing.ENDED, 7, "as it says")


def test_a_job_that_still_runs_is_not_over() -> None:
    """A wrapper has left its code a moment before its job ends."""
    [entry] = merged([Listed(ONE, "1", Standing.RUNNING)], f"{ONE}\n\n./{ONE}/exit:0\n")
    assert entry.standing is Standing.RUNNING


def test_folders_that_cannot_be_read_are_not_none() -> None:
    """Where the folders cannot be listed, nothing is."""
    host = ToldHost({"find": Ran(1, b"", b"ls: Stale file handle")})
    with pytest.raises(ComputingError, match="afar the folders cannot be read: ls: Stale file handle") as caught:
        asyncio.run(BatchElement(host, PlainSystem(), "/pilots").listing())
    assert caught.value.trouble is Trouble.UNREACHABLE


def test_programs_are_looked_for_where_the_settings_say() -> None:
    """The batch system's programs have the path of the settings and the environment that their call wants; what every
    host has is found on its own path."""
    host = ToldHost()
    element = BatchElement(host, PlainSystem(), "/pilots", "/opt/batch/bin")
    asyncio.run(element.submit([Submission(ONE, "", "")]))
    assert host.ran[0][:2] == ("sh", "-c")
    assert host.ran[1:] == [("env", "TO_PASS=a b", "/opt/batch/bin/hand-over", f"/pilots/{ONE}/wrapper.sh")]


def test_what_fails_is_told_of_each() -> None:
    """One that the batch system does not take is no hindrance to the others."""
    host = ToldHost({f"/{TWO}/": Ran(1, b"", b"quota exceeded")})
    element = BatchElement(host, PlainSystem(), "/pilots")
    results = asyncio.run(element.submit([Submission(stamp, "", "") for stamp in (ONE, TWO, THREE)]))
    assert (results[ONE], results[THREE]) == ("1", "3")
    failure = results[TWO]
    assert isinstance(failure, ComputingError)
    assert (str(failure), failure.trouble) == ("quota exceeded", Trouble.FULL)


def test_a_host_that_does_not_answer_is_asked_once() -> None:
    """Where the host cannot be reached, all fail for that reason, without one attempt for each."""

    class Gone(ToldHost):
        async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
            self.ran.append(tuple(argv))
            raise ComputingError("it does not answer", Trouble.UNREACHABLE)

    host = Gone()
    results = asyncio.run(BatchElement(host, PlainSystem(), "/p").submit([Submission(s, "", "") for s in (ONE, TWO)]))
    assert {str(result) for result in results.values()} == {"it does not answer"}
    assert len(host.ran) == 1


def test_nothing_is_cancelled_where_there_is_no_reference() -> None:
    """A program that is given no job might take that for all of them."""
    host = ToldHost()
    element = BatchElement(host, PlainSystem(), "/pilots")
    assert asyncio.run(element.cancel(["", ""])) == {}
    assert host.ran == []
    asyncio.run(element.cancel(["", "7"]))
    assert host.ran == [("stop", "7")]


@pytest.mark.parametrize("stamp", ["", "..", "../x", f"{ONE}/..", ONE.upper() + "x", "*"])
def test_only_folders_of_stamps_are_touched(stamp: str) -> None:
    """What is no stamp names no folder."""
    host = ToldHost()
    element = BatchElement(host, PlainSystem(), "/pilots")
    for asked in (element.output(stamp, "1"), element.forget(stamp, "")):
        with pytest.raises(ComputingError, match="expected a stamp"):
            asyncio.run(asked)
    assert host.ran == []


def test_places_of_a_pilot() -> None:
    """Where jobs see the folders, the wrapper finds its secret and leaves its code there."""
    element = BatchElement(ToldHost(), PlainSystem(), "/pilots")
    assert (element.secret_file(ONE), element.exit_file(ONE)) == (f"/pilots/{ONE}/secret", f"/pilots/{ONE}/exit")
    assert element.lag == 5.0
