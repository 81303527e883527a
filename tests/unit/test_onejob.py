"""A job file run on its own: which job of it is meant, with which inputs; and what the report says."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.configure import decide
from commands.context import Unfit
from pilot.doctor import table
from pilot.endings import Ending
from pilot.errors import ExitCode, InvalidInput, InvalidJob
from pilot.onejob import OneJob, read
from pilot.protocol import UNLIMITED, AttemptReport, Fact, JobSpec, OutputFile, Settings, Usage
from pilot.standalone import NoCentral, describe, exit_code
from pilot.states import Outcome, Phase, PilotReason

SWEEP = """\
executable: ./run.sh
arguments: ["{seed}"]
inputs: ["data/{seed}.txt", common/]
needs: {cores: 2}
sweep: {seed: 1..3, mode: [fast, slow]}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "common").mkdir()
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "data" / "2.txt").write_text("two")
    for name in ("b", "a"):
        (tmp_path / "common" / name).write_text(name)
    path = tmp_path / "job.yaml"
    path.write_text(SWEEP)
    return path


def test_one_of_a_sweep(job: Path) -> None:
    """A member is filled in, its inputs are found beside the file, folders with all their files."""
    one = read(job, [], ["seed=2", "mode=slow"])
    assert one.name == "job-seed-2-mode-slow"
    assert one.spec.command == ("./run.sh", "2")
    assert [file.name for file in one.spec.inputs] == ["data/2.txt", "common/a", "common/b", "run.sh"]
    assert [file.name for file in one.spec.inputs if file.executable] == ["run.sh"]
    assert {path.name for path in one.files.values()} == {"2.txt", "a", "b", "run.sh"}


def test_a_key_is_changed(job: Path) -> None:
    """A key of the document is set from the command line, as YAML, wherever it is."""
    one = read(job, ["needs.memory=2 GB", "name=other", "environment.X=1"], ["seed=2", "mode=fast"])
    assert (one.spec.needs.cores, one.spec.needs.memory) == (2, 2 * 10**9)
    assert one.spec.environment == {"X": "1"}
    assert one.name == "other-seed-2-mode-fast"


@pytest.mark.parametrize(
    ("settings", "member", "problem"),
    [
        ([], [], "it is a sweep of 6 jobs: choose one, as --member seed=1 --member mode=fast"),
        ([], ["seed=2"], "it is a sweep of 6 jobs"),
        ([], ["seed=9", "mode=fast"], "no job of the sweep has --member seed=9"),
        ([], ["sed=2"], "a name of the sweep (seed, mode), got 'sed=2'"),
        (["needs"], ["seed=2"], "expected name=value like needs.cores=4"),
        (["needs.cores=[1"], ["seed=2"], "the value is not YAML"),
    ],
)
def test_a_choice_that_is_none(job: Path, settings: list[str], member: list[str], problem: str) -> None:
    """What does not choose one job is told with the choices there are."""
    with pytest.raises(InvalidInput) as caught:
        read(job, settings, member)
    assert problem in str(caught.value)


def test_every_problem_is_told(job: Path) -> None:
    """All that is wrong with a job is told at once: keys, and inputs that are not there."""
    with pytest.raises(InvalidJob) as caught:
        read(job, ["needs.cores=-1", "bogus=1"], ["seed=2", "mode=fast"])
    assert len(caught.value.problems) == 2
    with pytest.raises(InvalidJob, match=r"the input 'data/3.txt' cannot be read: No such file"):
        read(job, [], ["seed=3", "mode=fast"])


@pytest.mark.parametrize(
    ("text", "problem"), [("a: [", "it is not YAML"), ("- 1", "expected a job"), ("\t", "not YAML")]
)
def test_what_is_no_job(tmp_path: Path, text: str, problem: str) -> None:
    """A file that is no YAML, or no job, is told as such."""
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises((InvalidInput, InvalidJob)) as caught:
        read(tmp_path / "job.yaml", [], [])
    assert problem in str(caught.value)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "none.yaml", [], [])


SUCCESS = AttemptReport(
    Phase.ENDED,
    Outcome.SUCCESS,
    exit_code=0,
    message="the output x is not there",
    usage=Usage(wall=75.2, cpu=70.0, memory_peak=1_500_000_000),
    outputs=(OutputFile("plot.png", 12_000, "0" * 64, ("sandbox",)),),
    tail="noise",
)
FAILURE = AttemptReport(
    Phase.ENDED, Outcome.PAYLOAD_ERROR, exit_code=3, message="it ended with exit code 3", tail="a\nb"
)
DRAINED = Ending(PilotReason.DRAINED)


@pytest.mark.parametrize(
    ("report", "ending", "code"),
    [
        (SUCCESS, DRAINED, ExitCode.DONE),
        (FAILURE, DRAINED, ExitCode.PAYLOAD_FAILED),
        (None, DRAINED, ExitCode.PAYLOAD_FAILED),
        (None, Ending(PilotReason.UNFIT), ExitCode.UNFIT),
        (FAILURE, Ending(PilotReason.SIGNAL), ExitCode.PREEMPTED),
    ],
)
def test_exit_codes(report: AttemptReport | None, ending: Ending, code: ExitCode) -> None:
    """The exit code says whether the job ran and succeeded, or why it did not run."""
    assert exit_code(report, ending) is code


def test_the_report(tmp_path: Path) -> None:
    """The report names outcome, time, memory, outputs and what is worth knowing; last lines only of a failure."""
    central = NoCentral(OneJob("fit", JobSpec(("true",)), {}), tmp_path)
    central.report_of_end = SUCCESS
    central.logs = {"stdout": 5}
    assert describe(central.job, central, DRAINED, Path("fit-output")) == [
        "job       fit",
        "outcome   success (exit code 0)",
        "took      1m 15s, 1m 10s of CPU, 1.5 GB of memory at most",
        "outputs   fit-output/: plot.png (12.0 kB), stdout (5 B)",
        "message   the output x is not there",
    ]
    central.report_of_end = FAILURE
    assert describe(central.job, central, DRAINED, tmp_path)[-3:] == ["last lines:", "  a", "  b"]


def test_the_doctors_table() -> None:
    """People get names, values with units and sources in columns; programs get the facts themselves."""
    facts = [Fact("memory", 16_000_000_000, "meminfo"), Fact("tag:avx", True, "flags"), Fact("glibc", None, "musl")]
    assert table(facts) == "  memory   16.0 GB  meminfo\n  tag:avx  yes      flags\n  glibc    unknown  musl"


def test_facts_become_a_capacity() -> None:
    """What was found is what is offered: unknown stays unknown, margins are taken off, tags are sorted by certainty."""
    facts = [
        Fact("cores", 4, ""),
        Fact("cpus", "4-6,9", ""),
        Fact("memory", None, ""),
        Fact("disk", 1_000_000_000, ""),
        Fact("seconds_left", 3600, ""),
        Fact("arch", "x86_64", ""),
        Fact("glibc", "2.36", ""),
        Fact("tag:b", True, ""),
        Fact("tag:a", True, ""),
        Fact("tag:no", False, ""),
        Fact("tag:maybe", None, ""),
    ]
    capacity = decide(facts, Settings(margin=60, min_disk=100_000_000), ("physics",), ("special",))
    assert (capacity.cores, capacity.cpus, capacity.memory) == (4, (4, 5, 6, 9), None)
    assert (capacity.disk, capacity.seconds_left) == (900_000_000, 3540)
    assert (capacity.platform.arch, capacity.platform.glibc, capacity.platform.microarch) == ("x86_64", (2, 36), None)
    assert (capacity.tags, capacity.unknown_tags) == (("a", "b"), ("maybe",))
    assert (capacity.communities, capacity.required_tags) == (("physics",), ("special",))


@pytest.mark.parametrize(
    ("declared", "end_of_life", "left"),
    [(UNLIMITED, UNLIMITED, UNLIMITED), (UNLIMITED, 100, 70), (3600, 100, 70), (None, 100, None), (20, UNLIMITED, 0)],
)
def test_lifetimes(declared: object, end_of_life: object, left: object) -> None:
    """The shorter of what queue and central grant counts; what the queue does not say is unknown."""
    facts = [Fact("cores", 1, ""), Fact("seconds_left", declared, "")]  # type: ignore[arg-type]
    assert decide(facts, Settings(end_of_life=end_of_life, margin=30), (), ()).seconds_left == left  # type: ignore[arg-type]


def test_a_machine_without_cores_is_unfit() -> None:
    """Where no core is known nothing can run, and the reason is that of the probe."""
    with pytest.raises(Unfit, match="nobody tells"):
        decide([Fact("cores", None, "nobody tells")], Settings(), (), ())
