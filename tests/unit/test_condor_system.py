"""What HTCondor is told, and what is made of what its programs answer: captured answers in, our words out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Request, Standing, Trouble
from central.elements.system import Door, Job
from central.elements.systems.condor import ATTRIBUTES, Condor

CAPTURED = Path(__file__).resolve().parent.parent / "data" / "elements" / "condor"
STAMP = "0123456789abcdef0123456789abcdef"
HERE = Condor(Door())
FAR = Condor(Door(schedd="ce.example.org", pool="ce.example.org:9619", spool=True, partition="long"))


def captured(name: str, code: int = 0) -> Ran:
    """Programs print complaints on standard error, and all else on standard output."""
    text = (CAPTURED / name).read_bytes()
    return Ran(code, b"" if code else text, text if code else b"")


def description(condor: Condor, request: Request | None = None, folder: str = "/srv/pilots") -> dict[str, str]:
    """The submit description, each command with its value."""
    call = condor.submit(Job(STAMP, f"{folder}/{STAMP}", request or Request()))
    lines = call.stdin.decode().splitlines()
    assert lines[-1] == "queue"
    assert lines.count("queue") == 1
    return {name: value for name, _, value in (line.partition(" = ") for line in lines[:-1])}


# -- submitting --------------------------------------------------------------------------------------------------------


def test_what_every_pilot_is_told() -> None:
    """Script and secret are brought to where the pilot runs, once, under its stamp; the central's environment stays."""
    told = description(HERE)
    assert HERE.submit(Job(STAMP, "/srv/pilots/x", Request())).argv == ("condor_submit", "-terse")
    assert told["executable"] == f"/srv/pilots/{STAMP}/wrapper.sh"
    assert told["initialdir"] == f"/srv/pilots/{STAMP}"
    assert told["transfer_input_files"] == "secret"
    assert told["output"] == told["error"] == "output"
    assert told["+PilotageStamp"] == f'"{STAMP}"'
    assert (told["max_retries"], told["getenv"]) == ("0", "false")
    assert "NumJobStarts > 0" in told["periodic_remove"]
    assert "NumJobStarts > 0" in told["requirements"]
    assert not {"environment", "accounting_group", "+xcount", "+queue", "request_memory"} & told.keys()


def test_what_is_asked_for() -> None:
    """Amounts in HTCondor's units, rounded up; what only a CE reads is said to a schedd that has a name."""
    request = Request(cores=4, memory=10**9, disk=10**6, gpus=2, wall_time=3601, whole_node=True)
    told = description(HERE, request)
    asked = ("request_cpus", "request_memory", "request_disk", "request_gpus", "+AllowedJobDuration", "+WantWholeNode")
    assert [told[name] for name in asked] == ["4", "954", "977", "2", "3601", "true"]
    told = description(FAR, request)
    assert [told[name] for name in ("+xcount", "+maxMemory", "+maxWallTime", "+queue")] == ["4", "954", "61", '"long"']


def test_what_the_queue_sets() -> None:
    """Variables whatever is in them, the group that is charged, and the operator's own lines, last."""
    variables = (("PLAIN", "1"), ("WORDS", 'two "words" = $HOME'), ("QUOTE", "it's"))
    condor = Condor(Door(account="physics.prod", environment=variables, extra=("+Flavour = 1", "request_cpus = 9")))
    told = description(condor)
    assert told["environment"] == """"PLAIN='1' WORDS='two ""words"" = $(DOLLAR)HOME' QUOTE='it''s'\""""
    assert told["accounting_group"] == "physics.prod"
    assert (told["+Flavour"], told["request_cpus"]) == ("1", "9")


def test_nothing_in_a_path_is_expanded() -> None:
    """A dollar in the folder's name is one."""
    assert description(HERE, folder="/srv/$(HOME)")["initialdir"] == f"/srv/$(DOLLAR)(HOME)/{STAMP}"


def test_another_schedd() -> None:
    """Every program is told of the schedd and its pool; files are sent there, and what was printed is fetched."""
    where = ("-name", "ce.example.org", "-pool", "ce.example.org:9619")
    calls = [FAR.submit(Job(STAMP, "/x", Request())), *FAR.list_calls(), FAR.cancel(["1.0"])]
    calls += [call for call in (FAR.fetch("/x", "1.0"), FAR.forget("1.0")) if call]
    assert len(calls) == 5
    for call in calls:
        begin = call.argv.index("-name")
        assert call.argv[begin : begin + 4] == where
    assert "-spool" in calls[0].argv
    assert HERE.fetch("/x", "1.0") is None


def test_a_reference() -> None:
    """A job that was taken is known by cluster and process."""
    assert HERE.reference(Job(STAMP, "/x", Request()), captured("condor_submit")) == "37.0"


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("condor_submit-refused", Trouble.REFUSED),
        ("condor_submit-full", Trouble.FULL),
        ("condor_submit-credential", Trouble.CREDENTIAL),
        ("condor_submit-authentication", Trouble.CREDENTIAL),
        ("condor_submit-authentication-25", Trouble.CREDENTIAL),
        ("condor_submit-nowhere", Trouble.UNREACHABLE),
    ],
)
def test_why_it_was_not_taken(name: str, trouble: Trouble) -> None:
    """Refusals are told apart, each with what HTCondor said."""
    with pytest.raises(ComputingError) as told:
        HERE.reference(Job(STAMP, "/x", Request()), captured(name, 1))
    assert told.value.trouble is trouble
    assert (CAPTURED / name).read_text().strip().splitlines()[-1] in str(told.value)


@pytest.mark.parametrize(
    ("words", "trouble"),
    [  # from HTCondor's documentation and from reports of others
        ("ERROR: Can't send RESCHEDULE command\nPermission denied: AUTHORIZATION FAILED", Trouble.CREDENTIAL),
        (
            "ERROR: Failed to connect to queue manager ce\nCEDAR:6001:Failed to connect to <1.2.3>",
            Trouble.UNREACHABLE,
        ),
        ("ERROR: Failed to commit job submission into the queue.", Trouble.UNREACHABLE),
        ("ERROR: on Line 3 of submit file: Parse error in expression", Trouble.REFUSED),
    ],
)
def test_other_complaints(words: str, trouble: Trouble) -> None:
    """What was not captured here is told apart by the same words."""
    with pytest.raises(ComputingError) as told:
        HERE.reference(Job(STAMP, "/x", Request()), Ran(1, b"", words.encode()))
    assert told.value.trouble is trouble


@pytest.mark.parametrize("output", [b"", b"1.0 - 1.0\n2.0 - 2.0\n", b"1.0 - 1.4\n", b"taken"])
def test_a_number_that_is_none(output: bytes) -> None:
    """Where the answer cannot be understood it is unknown whether the job was taken."""
    with pytest.raises(ComputingError) as told:
        HERE.reference(Job(STAMP, "/x", Request()), Ran(0, output, b""))
    assert told.value.trouble is Trouble.UNREACHABLE


# -- listing -----------------------------------------------------------------------------------------------------------


def test_a_real_list() -> None:
    """Each of a real list as it stands, with its exit code and HTCondor's own words."""
    entries = {entry.stamp.lstrip("0"): entry for entry in HERE.listed([captured("condor_q.json")])}
    queued, running, ended = Standing.QUEUED, Standing.RUNNING, Standing.ENDED
    assert {last: (entry.standing, entry.exit_code) for last, entry in entries.items()} == {
        "1": (queued, None),
        "4": (ended, 7),
        "5": (ended, 137),
        **dict.fromkeys("26789b", (ended, None)),
        **dict.fromkeys("3a", (running, None)),
    }
    assert entries["1"].reference == "26.0"
    assert entries["1"].why == "idle: no match found"
    assert entries["2"].why == "held: via condor_hold (by user pilotage-test)"
    assert "/missing: (errno 2) No such file or directory" in entries["6"].why
    assert entries["8"].why == "held: The job exceeded allowed job duration of 00:03"
    assert entries["7"].why == "removed: via condor_rm (by user pilotage-test)"
    assert "PeriodicRemove" in entries["b"].why


def listed(*ads: object) -> list[tuple[str, Standing]]:
    entries = HERE.listed([Ran(0, json.dumps(ads).encode(), b"")])
    return [(entry.reference, entry.standing) for entry in entries]


def ad(**values: Any) -> dict[str, Any]:
    return {"ClusterId": 5, "ProcId": 0, "PilotageStamp": STAMP, "JobStatus": 1, **values}


def test_nothing_printed_is_an_empty_list() -> None:
    """condor_q --json prints nothing where there are no jobs."""
    assert HERE.listed([Ran(0, b"", b"")]) == ()
    assert HERE.listed([Ran(0, b"[\n]\n", b"")]) == []


def test_files_on_their_way() -> None:
    """A job whose files are being spooled is waiting; when that has taken too long, it has ended."""
    held = {"JobStatus": 5, "HoldReasonCode": 16, "EnteredCurrentStatus": 1000}
    assert listed(ad(**held, ServerTime=1100)) == [("5.0", Standing.QUEUED)]
    assert listed(ad(**held, ServerTime=3000)) == [("5.0", Standing.ENDED)]


def test_a_job_that_cannot_be_understood() -> None:
    """It is unknown, and the others of the list are not."""
    good = ad(ClusterId=6, PilotageStamp="f" * 32, JobStatus=2)
    odds: tuple[object, ...] = ("eleven", 11, None, [], True)
    for odd in odds:
        assert listed(ad(JobStatus=odd), good) == [("5.0", Standing.UNKNOWN), ("6.0", Standing.RUNNING)]


def test_jobs_that_are_not_ours() -> None:
    """What has no stamp, or no number, is none of ours."""
    assert listed(ad(PilotageStamp=None), ad(PilotageStamp="x"), ad(ClusterId="a"), "text", 7) == []


def test_one_that_was_submitted_twice() -> None:
    """Of two jobs of one stamp the one that is not over is told."""
    assert listed(ad(ClusterId=1, JobStatus=3), ad(ClusterId=2, JobStatus=1)) == [("2.0", Standing.QUEUED)]


@pytest.mark.parametrize("output", [b"{}", b"[{", b"null", b"-- Schedd: ce", b"[" * 100_000])
def test_an_answer_that_is_no_list(output: bytes) -> None:
    """It is never taken for an empty one."""
    with pytest.raises(ComputingError) as told:
        HERE.listed([Ran(0, output, b"")])
    assert told.value.trouble is Trouble.UNREACHABLE


def test_a_schedd_that_does_not_answer() -> None:
    """The list is unknown, and the sentence says what HTCondor said."""
    with pytest.raises(ComputingError, match="SECMAN:2007") as told:
        HERE.listed([captured("condor_q-stopped", 1)])
    assert told.value.trouble is Trouble.UNREACHABLE


def test_what_is_asked_for_is_what_is_read() -> None:
    """The list is one program, with the attributes that are read and no more."""
    (call,) = HERE.list_calls()
    assert call.argv[-1] == ",".join(ATTRIBUTES)
    assert set(ATTRIBUTES) >= {name for entry in json.loads((CAPTURED / "condor_q.json").read_text()) for name in entry}


# -- ending ------------------------------------------------------------------------------------------------------------


def test_what_is_over_was_cancelled() -> None:
    """Several are ended by one program; those that are over or unknown are no failure, whatever its code is."""
    references = ["37.0", "99999999.0", "28.0"]
    assert HERE.cancel(references).argv == ("condor_rm", *references)
    assert HERE.not_cancelled(references, captured("condor_rm")) == {}
    assert HERE.not_cancelled(["99999998.0", "99999999.0"], captured("condor_rm-unknown", 1)) == {}


def test_what_was_not_cancelled() -> None:
    """Where nothing could be asked, or one belongs to another, that is said of each."""
    failures = HERE.not_cancelled(["37.0", "38.0"], captured("condor_rm-stopped", 1))
    assert {reference: error.trouble for reference, error in failures.items()} == dict.fromkeys(
        ("37.0", "38.0"), Trouble.UNREACHABLE
    )
    mixed = Ran(0, b"Job 1.0 marked for removal\n", b"Permission denied to remove job 2.0\n")
    (error,) = HERE.not_cancelled(["1.0", "2.0"], mixed).values()
    assert error.trouble is Trouble.CREDENTIAL
    assert "job 2.0" in str(error)
