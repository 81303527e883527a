"""What probes find on captured machines.

A case is a folder of `tests/data/nodes`, described in `tests/captured.py`; no Python is needed to add one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pilot.node import disk
from pilot.node.cgroups import Mount, ancestry, parse_membership
from pilot.node.hardware import parse_cpu_list, seconds_left, show_cpu_list
from pilot.node.outside import Request, fetch
from pilot.node.probes import Probe, run_probes
from pilot.protocol import Fact
from tests.captured import CASES, load


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_a_captured_machine(case: Path) -> None:
    """The facts of a captured machine are as written down, each with its source."""
    facts = {fact.name: {"value": fact.value, "source": fact.source} for fact in load(case).facts()}
    expected = json.loads((case / "expected.json").read_text())
    assert {name: facts.get(name) for name in expected} == expected


def test_time_passes() -> None:
    """What the queue declares as wall time counts from the pilot's start, and never falls below nothing."""
    assert seconds_left(3600, 100.5).value == 3499
    assert seconds_left(3600, 5000).value == 0


def test_a_probe_that_hangs_or_fails_is_one_unknown() -> None:
    """A probe that does not answer in time, or breaks, leaves its own facts unknown; the others are found."""
    never = threading.Event()

    def hang() -> Sequence[Fact]:
        never.wait()
        return []

    def fail() -> Sequence[Fact]:
        raise ValueError("odd")

    facts = run_probes(
        [
            Probe("slow", ("a", "b"), hang),
            Probe("broken", ("c",), fail),
            Probe("good", ("d",), lambda: [Fact("d", 1, "x")]),
        ],
        limit=0.05,
    )
    never.set()
    assert [(fact.name, fact.value) for fact in facts] == [("a", None), ("b", None), ("c", None), ("d", 1)]
    assert "did not answer within 0.05 s" in facts[0].source
    assert "ValueError: odd" in facts[2].source


def test_a_slow_probe_may_have_a_limit_of_its_own() -> None:
    """It is waited for as long as it may take, when the others are over."""
    late = threading.Event()

    def slow() -> Sequence[Fact]:
        late.wait(0.1)
        return [Fact("a", 1, "x")]

    assert run_probes([Probe("slow", ("a",), slow, limit=10.0)], limit=0.01) == (Fact("a", 1, "x"),)


@pytest.mark.parametrize(("text", "cpus"), [("0-3,8", (0, 1, 2, 3, 8)), ("5", (5,)), ("", ()), ("all", ())])
def test_cpu_lists(text: str, cpus: tuple[int, ...]) -> None:
    """Lists of CPUs are read and written as the kernel does it."""
    assert parse_cpu_list(text + "\n") == cpus
    assert show_cpu_list(cpus) == (text if cpus else "")


def test_cpus_that_cannot_be() -> None:
    """A list of more CPUs than any Linux has is not believed, and takes no memory."""
    assert parse_cpu_list("0-999999999999") == ()


def test_groups_are_found_below_their_mount() -> None:
    """Our group and those above it, up to the mount; one that is seen from elsewhere is the mount itself."""
    assert list(ancestry(Mount("/c", "/"), "/a/b")) == ["/c/a/b", "/c/a", "/c"]
    assert list(ancestry(Mount("/c", "/docker/x"), "/docker/x/in")) == ["/c/in", "/c"]
    assert list(ancestry(Mount("/c", "/docker/x"), "/other")) == ["/c"]
    assert list(ancestry(Mount("/c", "/"), "/../../up")) == ["/c"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:bad/x", "http://127.0.0.1:99999/x", "http://[x/y", "file:///x", ""])
def test_nobody_is_asked_at_an_address_that_is_none(url: str) -> None:
    """An address that the environment got wrong gives no answer, and breaks no probe."""
    assert fetch(Request(url)) is None


def test_odd_lines_are_passed_over() -> None:
    """What is no line of `/proc/self/cgroup` says nothing."""
    assert parse_membership("nonsense\n3:cpu,cpuacct:/x\n0::/y:z\n") == {"cpu": "/x", "cpuacct": "/x", "": "/y:z"}


def test_a_place_that_cannot_be_written_to_is_unknown(tmp_path: Path) -> None:
    """Free space that cannot be written to is no free space."""
    fact = disk.disk(tmp_path / "missing", None)
    assert fact.value is None
    assert "failed" in fact.source
    assert disk.disk(tmp_path, 1_000_000).value == 1_000_000
