"""The standard commands before and after the loop: fit or not, what was found, what payloads find."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from commands.check_node import check_node
from commands.clean_up import clean_up
from commands.configure import configure, decide
from commands.context import Capacity, Context, GpuDevice, Unfit
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

    def power(self) -> float | None:
        return None

    def measure_power(self, tell: Callable[[Fact], None]) -> None:
        tell(Fact("power", 6.5, "a test"))


@dataclass
class Clock:
    time: float = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


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
        clock=Clock(),
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
    assert said[:3] == ["cores = 4 (affinity)", "memory = unknown (nobody knows)", "cpus = none (not bound)"]
    assert context.facts == facts
    assert context.fact("cores") == 4
    assert context.fact("memory") is context.fact("no such fact") is None
    central = context.central
    assert isinstance(central, FakeCentral)
    assert central.facts_told[:3] == list(facts)


def test_power_is_told_when_it_is_known(tmp_path: Path) -> None:
    """The power of a core follows the other facts, to the log and to the central."""
    said: list[str] = []
    context = discover(context_of(tmp_path, Node(), said))
    central = context.central
    assert isinstance(central, FakeCentral)
    assert (said, central.facts_told) == (["power = 6.5 (a test)"], [Fact("power", 6.5, "a test")])
    assert context.facts == ()


def test_what_preparing_takes_is_not_offered(tmp_path: Path) -> None:
    """Time that passes between looking and opening the slots, as for a slow software area, is not left to jobs."""
    facts = (Fact("cores", 1, "affinity"), Fact("seconds_left", 3600, "Slurm"))
    context = discover(context_of(tmp_path, Node(facts), []))
    assert isinstance(context.clock, Clock)
    context.clock.time += 240
    computing = context.computing
    assert isinstance(computing, Computing)
    configure(context.evolve(settings=Settings(margin=300)))
    assert computing.opened[0][0].seconds_left == 3600 - 300 - 240


def test_gpus_found_are_gpus_for_jobs() -> None:
    """Each GPU of the facts is one of the capacity, with what is known of it; a count without models is none."""
    facts = (
        Fact("cores", 4, "affinity"),
        Fact("gpus", 3, "a library"),
        Fact("gpu0_index", 2, "a library"),
        Fact("gpu0_uuid", "GPU-1", "a library"),
        Fact("gpu0_model", "T4", "a library"),
        Fact("gpu0_memory", 16_000_000_000, "a library"),
        Fact("gpu0_capability", "7.5", "a library"),
        Fact("gpu1_index", 3, "a library"),
        Fact("gpu1_uuid", None, "a library"),
        Fact("gpu1_model", "T4", "a library"),
    )
    found = decide(facts, Settings(), (), ()).gpus
    assert found == (GpuDevice(2, "GPU-1", "T4", 16_000_000_000, "7.5"), GpuDevice(3, None, "T4"))


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


@pytest.mark.parametrize("exposed", [True, None, "nobody looked"])
def test_no_slots_where_payloads_might_reach_the_metadata_service(tmp_path: Path, exposed: object) -> None:
    """A pilot that is to be shielded is unfit unless it was proved, and says what was found; others go on, and where
    somebody looked they promise no isolation."""
    facts = [Fact("cores", 3, "x")]
    if exposed != "nobody looked":
        facts.append(Fact("imds_exposed", exposed, "a plain request was answered"))  # type: ignore[arg-type]
    context = context_of(tmp_path, Node(), [], facts=tuple(facts))
    with pytest.raises(Unfit, match="a plain request was answered" if len(facts) > 1 else "nobody looked"):
        configure(context.evolve(shielded=True))
    configure(context)
    [(capacity, _)] = context.computing.opened  # type: ignore[attr-defined]
    assert capacity.exposed is (exposed != "nobody looked"), "isolation is not promised where it could not be tried"


def test_slots_where_it_is_proved_that_they_do_not(tmp_path: Path) -> None:
    """A machine whose guard got no answer is fit."""
    facts = (Fact("cores", 3, "x"), Fact("imds_exposed", False, "x"))
    context = configure(context_of(tmp_path, Node(), [], facts=facts, shielded=True))
    [(capacity, _)] = context.computing.opened  # type: ignore[attr-defined]
    assert (capacity.cores, capacity.exposed) == (3, False)
