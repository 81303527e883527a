"""The standard commands before and after the loop: fit or not, what was found, what payloads find."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from commands.check_node import check_node
from commands.clean_up import clean_up
from commands.configure import configure
from commands.context import Capacity, Context, Unfit
from commands.discover import discover
from commands.prepare_software import prepare_software
from pilot.protocol import Fact, Settings
from tests.pilot_fakes import FakeCentral


@dataclass
class Node:
    found: tuple[Fact, ...] = ()
    free: int | None = 10**12

    def facts(self) -> tuple[Fact, ...]:
        return self.found

    def free_disk(self, path: Path) -> int | None:
        return self.free


@dataclass
class Computing:
    opened: list[tuple[Capacity, dict[str, str]]] = field(default_factory=list)
    closed: int = 0

    def open(self, capacity: Capacity, environment: dict[str, str]) -> None:
        self.opened.append((capacity, environment))

    def close(self) -> None:
        self.closed += 1


def context_of(work: Path, node: Node, said: list[str], **more: object) -> Context:
    made = Context(
        stamp="0" * 32,
        site="here",
        queue="test",
        work=work,
        settings=Settings(min_disk=1000),
        clock=None,  # type: ignore[arg-type]  # none of these looks at the time
        random=lambda: 0.5,
        node=node,
        central=FakeCentral(),
        computing=Computing(),  # type: ignore[arg-type]
        say=said.append,
    )
    return made.evolve(**more)


@pytest.mark.parametrize(("free", "fit"), [(10**12, True), (1000, True), (None, True), (999, False)])
def test_a_machine_needs_disk(tmp_path: Path, free: int | None, fit: bool) -> None:
    """A machine with too little disk is unfit, one whose free disk nobody tells is not."""
    context = context_of(tmp_path, Node(free=free), [])
    if fit:
        assert check_node(context) is context
    else:
        with pytest.raises(Unfit, match="has 999 B free, at least 1.0 kB are required"):
            check_node(context)


def test_a_machine_must_let_us_write(tmp_path: Path) -> None:
    """A work directory that nothing can be written to makes the machine unfit."""
    with pytest.raises(Unfit, match="nothing can be written to"):
        check_node(context_of(tmp_path / "missing", Node(), []))


def test_what_was_found_is_told(tmp_path: Path) -> None:
    """Facts go to the log with their sources, to the central, and into the context."""
    said: list[str] = []
    facts = (Fact("cores", 4, "affinity"), Fact("memory", None, "nobody knows"), Fact("cpus", "", "not bound"))
    context = discover(context_of(tmp_path, Node(facts), said))
    assert said == ["cores = 4 (affinity)", "memory = unknown (nobody knows)", "cpus = none (not bound)"]
    assert context.facts == facts
    assert context.fact("cores") == 4
    assert context.fact("memory") is context.fact("no such fact") is None
    central = context.central
    assert isinstance(central, FakeCentral)
    assert central.facts_told == list(facts)


def test_payloads_get_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Payloads get the pilot's PATH, or a plain one; the command's options are variables on top of it."""
    said: list[str] = []
    monkeypatch.setenv("PATH", "/usr/bin")
    options = {"prepare_software": {"SOFTWARE": "/sw"}}
    prepared = prepare_software(context_of(tmp_path, Node(), said, options=options, environment={"KEPT": "1"}))
    assert prepared.environment == {"KEPT": "1", "PATH": "/usr/bin", "SOFTWARE": "/sw"}
    monkeypatch.delenv("PATH")
    plain = prepare_software(context_of(tmp_path, Node(), said))
    assert shutil.which("sh", path=plain.environment["PATH"])
    missing = {"prepare_software": {"PATH": f"/usr/bin:{tmp_path}/missing"}}
    said.clear()
    prepare_software(context_of(tmp_path, Node(), said, options=missing))
    assert said == [f"on the PATH of payloads, but not here: {tmp_path}/missing"]


def test_slots_are_opened_and_closed(tmp_path: Path) -> None:
    """configure opens the slots with what was found and prepared, clean_up closes them."""
    context = context_of(tmp_path, Node(), [], facts=(Fact("cores", 3, "x"),), environment={"A": "b"})
    clean_up(configure(context))
    computing = context.computing
    assert isinstance(computing, Computing)
    [(capacity, environment)] = computing.opened
    assert (capacity.cores, environment, computing.closed) == (3, {"A": "b"}, 1)
    assert os.environ.get("A") is None
