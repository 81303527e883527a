"""The job as a person writes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot import jobfile
from pilot.errors import InvalidJob
from pilot.protocol import InputFile, JobSpec, Needs, OutputRule, Platform

EVERYTHING: dict[str, Any] = {
    "name": "fit-{seed}",
    "executable": "./bin/simulate.sh",
    "arguments": ["--seed", "{seed}", 7],
    "inputs": ["data/run1.csv"],
    "outputs": ["*.root", "plots/", {"path": "log.txt", "to": ["https://dav.example/{seed}", "sandbox"]}],
    "environment": {"MODE": "fast", "SEED": "{seed}"},
    "needs": {
        "cores": {"min": 2, "max": 8},
        "memory": "2 GB + 500 MB per core",
        "disk": "10 GB",
        "gpus": {"count": 1, "memory": "8 GB"},
        "wall_time": "4h",
        "tags": "cvmfs & (avx2 | arm) & ~slow-disk",
        "sites": ["CERN", "IN2P3"],
        "not_sites": ["IN2P3"],
        "platform": {"arch": "x86_64", "microarch": ">=v3", "glibc": ">=2.28"},
        "isolation": "required",
    },
    "container": "images/analysis.sif",
    "retries": 2,
    "priority": 7,
    "checkpoint": ["*.ckpt"],
    "credentials": ["my-s3"],
    "sweep": {"seed": "1..3"},
}


def problems(document: Any) -> list[str]:
    with pytest.raises(InvalidJob) as caught:
        jobfile.parse(document, "jobs[0]")
    return [str(problem) for problem in caught.value.problems]


def test_every_key() -> None:
    """A document with every key becomes exactly the job that it says."""
    document = jobfile.parse(EVERYTHING)
    assert document.spec == JobSpec(
        command=("./bin/simulate.sh", "--seed", "{seed}", "7"),
        needs=Needs(
            cores=2,
            max_cores=8,
            memory=2 * 10**9,
            memory_per_core=500_000_000,
            disk=10**10,
            gpus=1,
            gpu_memory=8 * 10**9,
            wall_time=14400,
            tags="(arm | avx2) & container:apptainer & container:isolated & container:sif & cvmfs & ~slow-disk",
            sites=("CERN",),
            not_sites=("IN2P3",),
            platform=Platform("x86_64", 3, (2, 28)),
        ),
        name="fit-{seed}",
        outputs=(
            OutputRule("*.root"),
            OutputRule("plots/"),
            OutputRule("log.txt", ("https://dav.example/{seed}", "sandbox")),
        ),
        environment={"MODE": "fast", "SEED": "{seed}"},
        container="images/analysis.sif",
        retries=2,
        priority=7,
        checkpoint=("*.ckpt",),
        credentials=("my-s3",),
    )
    assert document.inputs == ("data/run1.csv", "bin/simulate.sh", "images/analysis.sif")
    assert document.executable == "bin/simulate.sh"
    assert document.count == 3


def test_a_member_is_filled_in() -> None:
    """Each member of a sweep has its values in command, name, environment and outputs; other braces stay."""
    document = jobfile.parse({**EVERYTHING, "arguments": ["{seed}", "${HOME}", "{other}"]})
    second = list(jobfile.members(document))[1]
    inputs = (InputFile("a", "0" * 64, 1),)
    spec = jobfile.fill_spec(document.spec, second, inputs)
    assert spec.command == ("./bin/simulate.sh", "2", "${HOME}", "{other}")
    assert (spec.name, spec.environment["SEED"], spec.outputs[2].to[0]) == ("fit-2", "2", "https://dav.example/2")
    assert spec.inputs == inputs


def test_what_has_no_values_stays() -> None:
    """Filling in changes nothing of a job but its inputs where no part has a placeholder."""
    document = jobfile.parse({**EVERYTHING, "inputs": [], "container": "a.sif"})
    inputs = (InputFile("a", "0" * 64, 1),)
    assert jobfile.fill_spec(document.spec, {"other": "1"}, inputs) == replace(document.spec, inputs=inputs)


def test_members_in_order() -> None:
    """Several sweep names give every combination, the last name fastest."""
    document = jobfile.parse({"command": ["x"], "sweep": {"a": [1, 2], "b": "0..1"}})
    assert [tuple(member.values()) for member in jobfile.members(document)] == [
        ("1", "0"),
        ("1", "1"),
        ("2", "0"),
        ("2", "1"),
    ]


def test_equal_needs_are_equal() -> None:
    """Needs that differ only in spelling are the same needs, so that the jobs share a task queue."""
    one = jobfile.parse({"command": "x", "needs": {"memory": "1 GB", "tags": "a&b", "sites": ["B", "A"]}})
    two = jobfile.parse({"command": "y", "needs": {"memory": "1000 MB", "tags": "(b & a)", "sites": ["A", "B", "A"]}})
    assert one.spec.needs == two.spec.needs
    assert hash(one.spec.needs) == hash(two.spec.needs)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"comand": ["x"]}, "jobs[0].comand: unknown key"),
        ({"needs": {"cpu": 4}}, "jobs[0].needs.cpu: unknown key"),
        ({"needs": {"cores": -1}}, "jobs[0].needs.cores: expected a whole number"),
        ({"needs": {"cores": 10**9}}, "jobs[0].needs.cores: expected a whole number"),
        ({"needs": {"cores": True}}, "jobs[0].needs.cores: expected a whole number"),
        ({"needs": {"cores": {"min": 8, "max": 2}}}, "jobs[0].needs.cores: expected a maximum not below the minimum"),
        ({"needs": {"memory": "-2 GB"}}, "jobs[0].needs.memory: expected a size"),
        ({"needs": {"wall_time": 0}}, "jobs[0].needs.wall_time: expected at least 1 s"),
        ({"needs": {"sites": []}}, "jobs[0].needs.sites: expected at least one entry"),
        ({"needs": {"sites": ["A"], "not_sites": ["A"]}}, "jobs[0].needs.sites: every site named"),
        ({"needs": {"tags": "a & & b"}}, "jobs[0].needs.tags: expected a tag, got &, at character 5"),
        ({"needs": {"platform": {"microarch": "v9"}}}, "jobs[0].needs.platform.microarch: expected"),
        ({"needs": {"platform": {"glibc": ">=2"}}}, "jobs[0].needs.platform.glibc: expected a version like >=2.28"),
        ({"needs": {"platform": {"glibc": 2.3}}}, "jobs[0].needs.platform.glibc: expected a version in quotes"),
        ({"needs": {"platform": {"glibc": "2." + "9" * 900}}}, "jobs[0].needs.platform.glibc: expected a version"),
        ({"needs": {"cores": 16**5000}}, "jobs[0].needs.cores: expected a whole number"),
        ({"needs": {"cores": {"min": 1, "max": 10**30}}}, "jobs[0].needs.cores.max: expected a whole number"),
        ({"needs": {"memory": 10**30}}, "jobs[0].needs.memory: expected 0 to 1000000000000000 bytes"),
        ({"needs": {"memory": "2 GX"}}, "jobs[0].needs.memory: expected a size"),
        ({"needs": {"memory": "900 PB per core"}}, "jobs[0].needs.memory: expected 0 to 1000000000000000 bytes"),
        ({"needs": {"disk": "10 GB per core"}}, "jobs[0].needs.disk: expected a size that is the same"),
        ({"needs": {"gpus": {"memory": "1 GB/core"}}}, "jobs[0].needs.gpus.memory: expected a size that is the same"),
        ({"needs": {"gpus": 10**6}}, "jobs[0].needs.gpus: expected a whole number from 0 to 1024"),
        ({"needs": {"wall_time": "9999d"}}, "jobs[0].needs.wall_time: expected 0 to 34560000 seconds"),
        ({"needs": {"wall_time": "4 moons"}}, "jobs[0].needs.wall_time: expected a duration"),
        ({"needs": {"wall_time": "unlimited"}}, "jobs[0].needs.wall_time: expected a duration"),
        ({"needs": {"tags": ["a", "b &"]}}, "jobs[0].needs.tags[1]: expected a tag, got the end, at character 4"),
        ({"needs": {"tags": ["a) | (b"]}}, "jobs[0].needs.tags[0]: expected & or | or the end, at character 2"),
        ({"needs": {"tags": ["t"] * 5000}}, "jobs[0].needs.tags: more than 1000 tags"),
        ({"needs": {"tags": {"a": 1}}}, "jobs[0].needs.tags: expected an expression"),
        ({"needs": {"isolation": "maybe"}}, "jobs[0].needs.isolation: expected one of none, required"),
        ({"environment": {"A": 16**5000}}, "jobs[0].environment.A: expected a text"),
        ({"sweep": {"n": [16**5000]}}, "jobs[0].sweep.n: expected a range"),
        ({"community": "theirs"}, "jobs[0].community: unknown key"),
        ({"needs": []}, "jobs[0].needs: expected a mapping"),
        ({"inputs": ["../secret"]}, "jobs[0].inputs[0]: expected a path inside"),
        ({"inputs": ["/etc/passwd"]}, "jobs[0].inputs[0]: expected a path inside"),
        ({"outputs": ["a/../../b"]}, "jobs[0].outputs[0]: expected a path inside"),
        ({"environment": {"A B": "x"}}, "jobs[0].environment.A B: expected a name"),
        ({"priority": 11}, "jobs[0].priority: expected a whole number"),
        ({"retries": -1}, "jobs[0].retries: expected a whole number"),
        ({"sweep": {"n": "1..10000000"}}, "jobs[0].sweep: expected at most 100,000 jobs, got 10,000,000"),
        ({"sweep": {"n": "5..1"}}, "jobs[0].sweep.n: expected at least one value"),
        ({"sweep": {"n": {}}}, "jobs[0].sweep.n: expected a range"),
        ({"executable": "./a", "command": ["b"]}, "jobs[0].command: expected either"),
        ({"command": []}, "jobs[0].command: expected `executable` or `command`"),
        ({"command": ["a\0b"]}, "jobs[0].command[0]: expected a text"),
        ({"command": ["x" * 200_000]}, "jobs[0].command: expected at most"),
        ({"files": {"a": {"sha256": "xyz"}}}, "jobs[0].files.a.sha256: expected 64 hex digits"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_bad_input_names_the_spot(change: dict[str, Any], problem: str) -> None:
    """Each kind of bad input is refused with the path of the spot and what was expected."""
    found = problems({"command": ["x"], **change})
    assert any(text.startswith(problem) for text in found), found


def test_no_room_for_the_tags_of_a_container() -> None:
    """Tags that leave no room for those of the container are a problem of the job like any other."""
    document = {"command": "x", "container": "/a.sif", "needs": {"tags": " & ".join(f"t{n}" for n in range(1000))}}
    assert any(text.startswith("jobs[0].needs.tags: together with") for text in problems(document))


def test_a_list_of_tags_is_all_of_them() -> None:
    """Each entry is an expression of its own; blank ones ask nothing."""
    document = jobfile.parse({"command": "x", "needs": {"tags": ["b | a", "", "~c"]}})
    assert document.spec.needs.tags == "(a | b) & ~c"


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        ({}, Needs()),
        ({"cores": 4}, Needs(cores=4, max_cores=4)),
        ({"cores": {"min": 2}}, Needs(cores=2, max_cores=2)),
        ({"cores": {"max": 8}}, Needs(cores=1, max_cores=8)),
        ({"cores": "whole-node"}, Needs(max_cores=65_536, whole_node=True)),
        ({"gpus": 2}, Needs(gpus=2)),
        ({"gpus": {"memory": "8 GB"}}, Needs(gpus=1, gpu_memory=8 * 10**9)),
        ({"memory": "500 MB per core"}, Needs(memory_per_core=500_000_000)),
        ({"sites": ["any"]}, Needs()),
        ({"sites": "CERN"}, Needs(sites=("CERN",))),
        ({"not_sites": ["B", "A"]}, Needs(not_sites=("A", "B"))),
        ({"platform": {"microarch": 3, "glibc": 2.28}}, Needs(platform=Platform(None, 3, (2, 28)))),
    ],
)
def test_every_form_of_a_need(asked: dict[str, Any], needs: Needs) -> None:
    """The short and the long forms of each need, and what is meant where nothing is said."""
    assert jobfile.parse({"command": "x", "needs": asked}).spec.needs == needs


def test_needs_that_were_read_before_are_checked_all_the_same() -> None:
    """Jobs with needs that look alike each get their own problems, and needs of another type are not taken for them."""
    for number in range(2):
        with pytest.raises(InvalidJob) as caught:
            jobfile.parse({"command": ["a"], "needs": {"cores": 0, "nonsense": 1}}, f"jobs[{number}]")
        wheres = [problem.where for problem in caught.value.problems]
        assert wheres == [f"jobs[{number}].needs.cores", f"jobs[{number}].needs.nonsense"]

    assert jobfile.parse({"command": ["a"], "needs": {"cores": 1}}).spec.needs == Needs()
    with pytest.raises(InvalidJob, match="needs.cores"):
        jobfile.parse({"command": ["a"], "needs": {"cores": True}})


def test_all_problems_at_once() -> None:
    """Every problem of a document is reported, not only the first."""
    found = problems({"needs": {"cores": 0, "memory": "x"}, "priority": -1, "what": 1})
    assert len(found) == 5


@pytest.mark.parametrize("document", [None, [], "x", 7, True])
def test_not_a_document(document: Any) -> None:
    """Something that is no mapping is refused, not crashed on."""
    assert problems(document)[0].startswith("jobs[0]: expected a job")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from([*EVERYTHING, "files", "command", "grace"])


@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_anything_is_read_or_refused(document: dict[str, Any]) -> None:
    """Whatever JSON comes in, the answer is a job or a list of problems, never another error."""
    try:
        jobfile.parse(document)
    except InvalidJob as refused:
        assert refused.problems
