"""Outputs: what patterns find, under which names, and what never leaves a node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot.attempts import outputs
from pilot.attempts.outputs import collect
from pilot.destinations.port import digests_of
from pilot.protocol import OutputRule


@pytest.fixture
def job(tmp_path: Path) -> Path:
    job = tmp_path / "job"
    for name in (
        "a.root",
        "b.root",
        ".hidden.root",
        "plots/p.png",
        "plots/deep/q.png",
        "run/1/log",
        "run/2/log",
        "x.txt",
    ):
        (job / name).parent.mkdir(parents=True, exist_ok=True)
        (job / name).write_text(name)
    return job


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.root", ["a.root", "b.root"]),
        (".*.root", [".hidden.root"]),
        ("?.root", ["a.root", "b.root"]),
        ("[ab].root", ["a.root", "b.root"]),
        ("x.txt", ["x.txt"]),
        ("plots/", ["plots/deep/q.png", "plots/p.png"]),
        ("plots", ["plots/deep/q.png", "plots/p.png"]),
        ("run/*/log", ["run/1/log", "run/2/log"]),
        ("**/*.png", ["plots/deep/q.png", "plots/p.png"]),
        ("**/log", ["run/1/log", "run/2/log"]),
        ("run/**", ["run/1/log", "run/2/log"]),
        ("*.nothing", []),
        ("x.txt/inside", []),
    ],
)
def test_patterns(job: Path, pattern: str, found: list[str]) -> None:
    """Patterns work as in a shell; a directory stands for every file in it."""
    assert sorted(collect([OutputRule(pattern)], job).outputs) == found


def test_the_first_rule_has_a_file(job: Path) -> None:
    """A file that two rules find is brought home once, as the first of them says."""
    rules = [OutputRule("a.root", ("sandbox",)), OutputRule("*.root", ("elsewhere",))]
    found = collect(rules, job).outputs
    assert {name: output.to for name, output in found.items()} == {"a.root": ("sandbox",), "b.root": ("elsewhere",)}


def test_what_was_named_and_is_missing(job: Path) -> None:
    """A plain name that is not there is missing, unless it may be; a pattern may find nothing."""
    rules = [OutputRule("gone.txt"), OutputRule("*.gone"), OutputRule("gone/"), OutputRule("may", optional=True)]
    assert collect(rules, job).missing == ["gone.txt", "gone/"]


@pytest.mark.parametrize(
    ("link", "target", "pattern"),
    [
        ("out", "../outside/secret", "out"),
        ("out", "../outside", "out/"),
        ("out", "../outside", "out/secret"),
        ("plots/out", "../../outside/secret", "plots/"),
        ("out", "/etc/passwd", "*"),
        ("out", "nowhere", "out"),
    ],
)
def test_links_that_lead_out(job: Path, link: str, target: str, pattern: str) -> None:
    """Nothing that lies outside of the job's directory is found by way of a link."""
    outside = job.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (job / link).symlink_to(target)
    collected = collect([OutputRule(pattern)], job)
    assert not any("out" in name for name in collected.outputs)
    assert len(collected.refused) == 1


def test_links_within(job: Path) -> None:
    """A link to a file or directory of the job is brought home under its own name; loops do no harm."""
    (job / "latest").symlink_to("run/2")
    (job / "best.root").symlink_to("a.root")
    (job / "run" / "loop").symlink_to("..")
    found = collect([OutputRule("latest/"), OutputRule("best.root"), OutputRule("run/")], job).outputs
    assert sorted(found) == ["best.root", "latest/log", "run/1/log", "run/2/log"]
    assert found["latest/log"].path.read_text() == "run/2/log"


def test_what_is_no_file(job: Path) -> None:
    """Pipes are not opened, and names that are not UTF-8 cannot travel; both are told."""
    os.mkfifo(job / "pipe")
    with open(os.fsencode(job) + b"/odd\xff.out", "wb"):
        pass
    collected = collect([OutputRule("pipe"), OutputRule("*.out")], job)
    assert not collected.outputs
    assert "no plain file" in collected.refused[0]
    assert "not UTF-8" in collected.refused[1]


def test_too_many(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a bound on how many files one attempt brings home: the first ones, and the others are named."""
    everything = list(collect([OutputRule("**")], job).outputs)
    monkeypatch.setattr(outputs, "MAX_OUTPUTS", 3)
    found = collect([OutputRule("**")], job)
    assert [*found.outputs, *found.beyond] == everything
    assert len(found.outputs) == 3


def test_many_ways_to_the_same_place(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern with several `**` looks through each directory a few times, however many ways lead there."""
    deep = job
    for _ in range(30):
        deep = deep / "a"
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    looked: list[str] = []
    entries = outputs._entries

    def counting(root: Path, name: str) -> list[os.DirEntry[str]]:
        looked.append(name)
        assert len(looked) < 1000
        return entries(root, name)

    monkeypatch.setattr(outputs, "_entries", counting)
    assert list(collect([OutputRule("**/a/**/a/**/a/**/a/**/a/**/x")], job).outputs) == ["a/" * 30 + "x"]


def test_a_digest_is_of_the_file_itself(job: Path) -> None:
    """Hashing does not follow a link that has taken a file's place."""
    assert digests_of(job / "x.txt", None).size == 5
    (job / "link").symlink_to("x.txt")
    with pytest.raises(OSError, match="symbolic"):
        digests_of(job / "link", None)
