"""Pilots as jobs of ARC: how they are described, and what its answers mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from central.elements.arc import jobs
from central.elements.arc.jobs import Door, Info
from central.elements.port import ComputingError, Request, Standing, Submission, Trouble

DATA = Path(__file__).parent.parent / "data/elements/arc"
FIRST = "sYuLDmipvqAoOSAtDmABFKDmABFKDmABFKDmh4MKDmABFKDm6wPwan"
SECOND = "r6fKDmpqvqAoOSAtDmABFKDmABFKDmABFKDmh4MKDmDBFKDmNdKzSm"
STAMP = "0123456789abcdef0123456789abcdef"
ADL = "{http://www.eu-emi.eu/es/2010/12/adl}"


def captured(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def described(door: Door, request: Request, delegation: str = "") -> ElementTree.Element:
    document = jobs.descriptions(door, [Submission(STAMP, "the script", "the secret", request)], delegation)
    assert b"the secret" not in document
    return ElementTree.fromstring(document)[0]


def text(job: ElementTree.Element, *path: str) -> list[str | None]:
    return [element.text for element in job.iterfind("/".join(f"{ADL}{tag}" for tag in path))]


def test_a_pilot_as_a_job() -> None:
    """Its name is the queue's prefix and the stamp; it runs the script, and its two streams are one file that stays."""
    job = described(Door("site-q", "main"), Request())
    assert text(job, "ActivityIdentification", "Name") == [f"site-q-{STAMP}"]
    assert text(job, "Application", "Executable", "Path") == ["wrapper.sh"]
    assert text(job, "Application", "Output") == text(job, "Application", "Error") == ["output"]
    assert text(job, "DataStaging", "InputFile", "Name") == ["secret", "wrapper.sh"]
    assert text(job, "DataStaging", "OutputFile", "Name") == ["output"]
    assert text(job, "Resources", "QueueName") == ["main"]


def test_only_what_is_given_is_asked_for() -> None:
    """A pilot of which nothing is said asks for one core and no more."""
    [resources] = described(Door("q"), Request()).iterfind(f"{ADL}Resources")
    assert [element.tag for element in resources] == [f"{ADL}SlotRequirement"]


def test_what_a_pilot_asks_for() -> None:
    """Cores are on one host, memory is for each core and rounded up, times are seconds."""
    request = Request(cores=3, memory=1000, disk=5000, wall_time=90, whole_node=True)
    job = described(Door("q", runtime_environments=("ENV/PROXY", "ENV/GPU")), request)
    assert text(job, "Resources", "SlotRequirement", "NumberOfSlots") == ["3"]
    assert text(job, "Resources", "SlotRequirement", "SlotsPerHost") == ["3"]
    assert text(job, "Resources", "SlotRequirement", "ExclusiveExecution") == ["true"]
    assert text(job, "Resources", "IndividualPhysicalMemory") == ["334"]
    assert text(job, "Resources", "DiskSpaceRequirement") == ["5000"]
    assert text(job, "Resources", "WallTime") == ["90"]
    assert text(job, "Resources", "RuntimeEnvironment", "Name") == ["ENV/PROXY", "ENV/GPU"]


def test_values_stay_what_they_are() -> None:
    """What means something in XML does not in a value."""
    door = Door("q", environment=(("A", "<b>&\"'"), ("B", "]]>")))
    job = described(door, Request(), delegation="abc")
    assert text(job, "Application", "Environment", "Name") == ["A", "B"]
    assert text(job, "Application", "Environment", "Value") == ["<b>&\"'", "]]>"]
    space = "{http://www.nordugrid.org/es/2011/12/nordugrid-adl}"
    assert [element.text for element in job.iter(f"{space}DelegationID")] == ["abc"]


@pytest.mark.parametrize(
    ("name", "stamp"),
    [(f"q-{STAMP}", STAMP), (f"q-b-{STAMP}", ""), (STAMP, ""), (f"q-{STAMP}0", ""), (f"xq-{STAMP}", ""), ("", "")],
)
def test_whose_job_it_is(name: str, stamp: str) -> None:
    """A job is ours by the whole of its name: another queue's prefix may begin with ours."""
    assert jobs.stamp_of("q", name) == stamp


def test_lists_of_two_of_one_and_of_nothing() -> None:
    """ARC writes a list of one as the one, and of none as nothing at all."""
    assert jobs.states(captured("jobs")) == {FIRST: "RUNNING", SECOND: "FAILED"}
    assert jobs.states(captured("job")) == {FIRST: "PREPARING"}
    assert jobs.states({}) == jobs.states({"job": []}) == jobs.states({"job": ""}) == {}


def test_what_the_information_system_tells() -> None:
    """Names, states, exit codes and reasons; of a job that is not there nothing."""
    assert jobs.infos(captured("info")) == {
        FIRST: Info("q-ab-0123456789abcdef0123456789abcdef", "RUNNING", "INLRMS:R"),
        SECOND: Info(
            "q-ab-fedcba9876543210fedcba9876543210", "FAILED", "FAILED::INLRMS", 3, "LRMS error: (3) Job failed"
        ),
    }


@pytest.mark.parametrize("answer", [[], "no", None, 3, {"job": ["x"]}, {"job": 3}, {"job": [None]}])
def test_an_answer_that_cannot_be_understood(answer: Any) -> None:
    """It is an answer that did not come, not an empty list."""
    with pytest.raises(ComputingError) as raised:
        jobs.states(answer)
    assert raised.value.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize("answer", [{"job": {"id": "../x"}}, {"job": {"id": 3}}, {"job": {"state": "RUNNING"}}])
def test_a_single_odd_job_is_left_out(answer: Any) -> None:
    """A name that could not stand in a URL is nothing that we asked for."""
    assert jobs.states(answer) == {}


def test_odd_information_says_nothing() -> None:
    """Whatever stands where a document should, nothing is read from it."""
    activities: list[Any] = ["", [], {"State": 3, "ExitCode": "x", "Name": {}}]
    odd = [{"ComputingActivity": activity} for activity in activities]
    answer = {"job": [{"id": str(number), "info_document": document} for number, document in enumerate(odd)]}
    assert set(jobs.infos(answer).values()) == {Info()}


def test_jobs_that_are_taken_and_one_that_is_not() -> None:
    """Each has its own answer."""
    first, second = jobs.taken(captured("new"), 2)
    assert first == FIRST
    assert isinstance(second, ComputingError)
    assert second.trouble is Trouble.REFUSED
    assert "Requested queue nosuch is not allowed" in str(second)


def test_fewer_answers_than_jobs() -> None:
    """Nobody knows which is which: it is as if none had come."""
    with pytest.raises(ComputingError, match="3 jobs were described and 2 answered") as raised:
        jobs.taken(captured("new"), 3)
    assert raised.value.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [
        ("No more jobs allowed", Trouble.FULL),
        ("New job submission is not allowed", Trouble.FULL),
        ("Failed to find valid session directory", Trouble.UNREACHABLE),
        ("emies:adl parsing error", Trouble.REFUSED),
    ],
)
def test_why_a_job_was_not_taken(reason: str, trouble: Trouble) -> None:
    """A bound is for later, ARC's own trouble for another time, and what is wrong with the job will stay so."""
    [result] = jobs.taken({"job": {"status-code": "500", "reason": reason}}, 1)
    assert isinstance(result, ComputingError)
    assert result.trouble is trouble


def test_ending_what_is_not_there_is_no_failure() -> None:
    """Of those that were to end only such are named as live on."""
    assert jobs.not_done(captured("kill")) == {}
    failed = jobs.not_done({"job": {"status-code": "505", "reason": "no", "id": "x"}})
    assert list(failed) == ["x"]


@pytest.mark.parametrize(
    ("own", "told", "standing"),
    [
        ("ACCEPTING", "", Standing.QUEUED),
        ("PREPARING", "RUNNING", Standing.QUEUED),
        ("RUNNING", "", Standing.RUNNING),
        ("RUNNING", "PREPARING", Standing.RUNNING),
        ("RUNNING", "QUEUING", Standing.QUEUED),
        ("RUNNING", "HELD", Standing.QUEUED),
        ("RUNNING", "FINISHED", Standing.RUNNING),
        ("RUNNING", "OTHER", Standing.UNKNOWN),
        ("FINISHING", "RUNNING", Standing.RUNNING),
        ("KILLING", "RUNNING", Standing.RUNNING),
        ("FINISHED", "RUNNING", Standing.ENDED),
        ("FAILED", "", Standing.ENDED),
        ("KILLED", "", Standing.ENDED),
        ("None", "", Standing.UNKNOWN),
        ("a new one", "", Standing.UNKNOWN),
    ],
)
def test_where_a_job_stands(own: str, told: str, standing: Standing) -> None:
    """Its own state is of this moment; only what goes on in the batch system the other knows better."""
    assert jobs.standing(jobs.state(own, Info(state=told))) is standing


def test_the_last_value_counts() -> None:
    """ARC's own files say a thing more than once."""
    assert jobs.value("exitcode=1\nnodename=vm\nexitcode=3\n", "exitcode") == "3"
    assert jobs.value("xexitcode=1", "exitcode") == ""


def test_which_files_are_there() -> None:
    """A list of one is the one, and other files are not ours."""
    assert jobs.files({"file": ["secret", "other", "wrapper.sh"]}) == ["secret", "wrapper.sh"]
    assert jobs.files({"file": "secret"}) == ["secret"]
    assert jobs.files({}) == jobs.files("") == []
