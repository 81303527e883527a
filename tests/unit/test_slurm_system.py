"""Slurm as a batch system: what is asked of it, and what its answers mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Door, Job, Recalling
from central.elements.systems.slurm import COLUMNS, Slurm

CASES = Path(__file__).parents[1] / "data" / "elements" / "slurm"
STAMP = "0123456789abcdef0123456789abcdef"
JOB = Job(STAMP, f"/home/pilots/{STAMP}", Request())


def submitted(request: Request, door: Door | None = None) -> list[str]:
    return list(Slurm(door or Door()).submit(Job(STAMP, JOB.folder, request)).argv)


def ran(output: str, errors: str = "", code: int = 0) -> Ran:
    return Ran(code, output.encode(), errors.encode())


def line(state: str, *, status: str = "0", reason: str = "None", name: str = STAMP, number: str = "7") -> str:
    values = (number, state, status, reason, name)
    return "".join(value[:width].ljust(width) for value, width in zip(values, COLUMNS.values(), strict=True))


def listed(*lines: str) -> list[Listed]:
    return list(Slurm(Door()).listed([ran("\n".join((*lines, "")))]))


# -- submitting -------------------------------------------------------------------------------------------------------


def test_what_is_asked_for() -> None:
    """Cores, memory, GPUs and time go in Slurm's words and units, rounded up."""
    asked = submitted(Request(cores=4, memory=3 * 10**9, gpus=2, wall_time=3601))
    assert {"--nodes=1", "--ntasks=1", "--cpus-per-task=4", "--mem=2862M", "--gres=gpu:2", "--time=61"} <= set(asked)
    assert not any(word.startswith(("--exclusive", "--partition", "--account")) for word in asked)


def test_only_what_is_given_is_asked_for() -> None:
    """Memory, time and GPUs that nobody named are left to the partition."""
    asked = submitted(Request())
    assert not any(word.startswith(("--mem", "--time", "--gres")) for word in asked)


@pytest.mark.parametrize(("memory", "word"), [(None, "--mem=0"), (2**30, "--mem=1024M")])
def test_a_whole_node(memory: int | None, word: str) -> None:
    """A node for itself is asked for by that, not by a number of cores; its memory is all unless somebody said."""
    asked = submitted(Request(cores=64, memory=memory, whole_node=True))
    assert {"--exclusive", word} <= set(asked)
    assert not any(word.startswith("--cpus-per-task") for word in asked)


def test_a_pilot_is_found_and_never_started_again() -> None:
    """The stamp is the job's name; it is not requeued, works in its folder, and has nothing of the submitter's."""
    asked = submitted(Request())
    assert asked[0] == "sbatch"
    assert {"--no-requeue", "--export=NONE", "--propagate=NONE", f"--job-name={STAMP}"} <= set(asked)
    assert {f"--chdir={JOB.folder}", f"--output={JOB.folder}/output"} <= set(asked)
    assert not any(word.startswith("--array") for word in asked)


def test_the_door_is_named_and_has_the_last_word() -> None:
    """Partition and account are the queue's; what the operator adds comes last, so that it holds."""
    asked = submitted(Request(), Door("main", "physics", ("--qos=long", "--time=5")))
    assert {"--partition=main", "--account=physics"} <= set(asked)
    assert asked[-2:] == ["--qos=long", "--time=5"]


def test_an_environment_of_any_characters() -> None:
    """What the queue sets is quoted for the shell of the job, and goes to no other; the script stays in its folder."""
    [wrap] = [word for word in submitted(Request(), Door(environment=(("A", "b, c='$d'"),))) if "--wrap" in word]
    assert wrap == f"""--wrap=exec env SLURM_EXPORT_ENV=ALL 'A=b, c='"'"'$d'"'"'' {JOB.folder}/wrapper.sh"""


@pytest.mark.parametrize("printed", ["42\n", "42;cluster\n"])
def test_its_reference(printed: str) -> None:
    """The job's number, whether or not Slurm names the cluster behind it."""
    assert Slurm(Door()).reference(JOB, ran(printed)) == "42"


@pytest.mark.parametrize("printed", ["", "Submitted batch job 42\n", "4 2\n", "-1\n"])
def test_an_answer_that_is_no_number(printed: str) -> None:
    """Whether it was taken is not known: its stamp is looked for before it is submitted again."""
    with pytest.raises(ComputingError) as caught:
        Slurm(Door()).reference(JOB, ran(printed))
    assert caught.value.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize(
    "case", json.loads((CASES / "complaints.json").read_text()), ids=lambda case: case["said"][-60:]
)
def test_complaints_are_told_apart(case: dict[str, Any]) -> None:
    """A limit of jobs, a credential, a controller that does not answer, and all else that is refused."""
    slurm, answer = Slurm(Door()), ran("", case["said"], 1)
    with pytest.raises(ComputingError) as caught:
        slurm.reference(JOB, answer) if case["program"] == "sbatch" else slurm.listed([answer])
    assert caught.value.trouble.value == case["trouble"]
    assert case["said"].splitlines()[0] in str(caught.value)


# -- listing ----------------------------------------------------------------------------------------------------------


def test_the_list_of_a_real_slurm() -> None:
    """Our jobs are found by their stamps, with state, reason and exit code; those of others are left out."""
    entries = listed(*(CASES / "squeue.txt").read_text().splitlines())
    assert {entry.reference: (entry.standing, entry.exit_code, entry.why) for entry in entries} == {
        "83": (Standing.ENDED, 60, "TIMEOUT (TimeLimit)"),
        "85": (Standing.RUNNING, None, "COMPLETING (TimeLimit)"),
        "88": (Standing.ENDED, 7, "FAILED (NonZeroExitCode)"),
        "89": (Standing.ENDED, 137, "FAILED (JobLaunchFailure)"),
        "90": (Standing.QUEUED, None, "PENDING (PartitionConfig)"),
        "91": (Standing.QUEUED, None, "PENDING (JobHeldUser)"),
        "92": (Standing.ENDED, None, "CANCELLED (Resources)"),
        "93": (Standing.ENDED, None, "CANCELLED (Priority)"),
        "94": (Standing.RUNNING, None, "SUSPENDED"),
        "95": (Standing.RUNNING, None, "RUNNING"),
    }
    assert {entry.stamp for entry in entries if entry.reference == "88"} == {"f000000000000000000000000000000a"}


def test_one_program_lists_all() -> None:
    """However many jobs there are, one program is run."""
    [call] = Slurm(Door()).list_calls()
    assert call.argv[:3] == ("squeue", "--me", "--states=all")


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"])
def test_states_that_are_an_end(state: str) -> None:
    assert listed(line(state))[0].standing is Standing.ENDED


@pytest.mark.parametrize("state", ["PREEMPTED", "BOOT_FAIL", "DEADLINE", "REVOKED"])
def test_more_states_that_are_an_end(state: str) -> None:
    assert listed(line(state))[0].standing is Standing.ENDED


@pytest.mark.parametrize("state", ["PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"])
def test_states_in_which_a_pilot_does_not_run_yet(state: str) -> None:
    assert listed(line(state))[0].standing is Standing.QUEUED


def test_a_state_that_nobody_knows() -> None:
    """Nothing follows from a word of a later version; it is told as it is."""
    [entry] = listed(line("TELEPORTED", reason="Odd"))
    assert (entry.standing, entry.why) == (Standing.UNKNOWN, "TELEPORTED (Odd)")


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("COMPLETED", "0", 0),
        ("FAILED", "256", 1),
        ("FAILED", "139", 139),  # a core was dumped
        ("FAILED", "4021", None),  # of a node that did not see the folder
        ("OUT_OF_MEMORY", "9", 137),
        ("TIMEOUT", "0", None),
        ("FAILED", "?", None),
    ],
)
def test_exit_codes(state: str, status: str, code: int | None) -> None:
    """As the shell says them; a zero of a job that Slurm ended says nothing."""
    assert listed(line(state, status=status))[0].exit_code == code


def test_a_stamp_that_is_there_twice() -> None:
    """The job that lives is the one that counts, wherever it stands in the list."""
    lines = [line("FAILED", number="3"), line("RUNNING", number="4"), line("CANCELLED", number="5")]
    assert [(entry.reference, entry.standing) for entry in listed(*lines)] == [("4", Standing.RUNNING)]


def test_a_stamp_of_which_one_job_is_unknown() -> None:
    """Nothing follows from it, though another job of the same stamp has ended."""
    assert [entry.standing for entry in listed(line("TELEPORTED"), line("FAILED"))] == [Standing.UNKNOWN]


def test_no_jobs() -> None:
    """An empty list is an answer."""
    assert listed() == []


@pytest.mark.parametrize("printed", ["Welcome to the cluster!\n", "JOBID STATE\n", "\0\n"])
def test_a_list_that_is_none(printed: str) -> None:
    """Nothing follows from an answer that cannot be understood."""
    with pytest.raises(ComputingError) as caught:
        Slurm(Door()).listed([ran(printed)])
    assert caught.value.trouble is Trouble.UNREACHABLE


# -- what its list has forgotten --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "entry"),
    [
        ("43|CANCELLED by 1003|0:0\n", Listed(STAMP, "43", Standing.ENDED, None, "CANCELLED by 1003")),
        ("44|FAILED|7:0\n", Listed(STAMP, "44", Standing.ENDED, 7, "FAILED")),
        ("9|CANCELLED|0:9\n", Listed(STAMP, "9", Standing.ENDED, 137, "CANCELLED")),
        ("39|FAILED|1:0\n41|TIMEOUT|0:0\n", Listed(STAMP, "41", Standing.ENDED, None, "TIMEOUT")),
        ("50|RUNNING|0:0\n", None),
        ("", None),
        ("Slurm accounting storage is disabled\n", None),
    ],
)
def test_what_accounting_remembers(printed: str, entry: Listed | None) -> None:
    """The last job of a stamp, once it has ended; one that still runs there may have been lost."""
    slurm = Slurm(Door())
    assert isinstance(slurm, Recalling)
    assert f"--name={STAMP}" in slurm.past(STAMP).argv
    assert slurm.recalled(STAMP, ran(printed)) == entry


def test_without_accounting() -> None:
    """Where there is no accounting, nothing is known."""
    assert Slurm(Door()).recalled(STAMP, ran("", "Slurm accounting storage is disabled\n", 1)) is None


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_many_are_cancelled_at_once() -> None:
    """One program ends them all."""
    assert Slurm(Door()).cancel(["5", "46"]).argv == ("scancel", "5", "46")


def test_what_was_not_cancelled() -> None:
    """Only the job that Slurm complains of, and not for being over or unknown."""
    said = (
        "scancel: error: Kill job error on job id 5: Job/step already completing or completed\n"
        "scancel: error: Kill job error on job id 46: Access/permission denied\n"
        "scancel: error: Kill job error on job id 99: Invalid job id specified\n"
    )
    failures = Slurm(Door()).not_cancelled(["5", "6", "46", "99"], ran("", said, 210))
    assert {reference: error.trouble for reference, error in failures.items()} == {"46": Trouble.REFUSED}
    assert "Access/permission denied" in str(failures["46"])


def test_nothing_was_cancelled() -> None:
    """Where scancel failed as a whole, each is told."""
    said = "scancel: error: Unable to contact slurm controller (connect failure)\n"
    failures = Slurm(Door()).not_cancelled(["5", "6"], ran("", said, 1))
    assert {reference: error.trouble for reference, error in failures.items()} == dict.fromkeys(
        "56", Trouble.UNREACHABLE
    )


def test_a_word_that_is_no_complaint() -> None:
    """What scancel says without failing is none."""
    assert Slurm(Door()).not_cancelled(["5"], ran("", "scancel: Terminating job 5\n")) == {}
