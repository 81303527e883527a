"""Machines as data: a folder for each, read by tests. `python3 -m tests.captured FOLDER` writes down this machine.

files/         a tree of /proc, /sys and /etc, as far as probes read it
system.json    what calls told, the moment ("now"), the seconds since the pilot began ("elapsed"), and what the
               queue declares ("declared")
env            variables, NAME=value a line
commands/      what commands printed; a file is named by the command as it was typed, a / in it written as %
answers.json   what services answered: "GET http://…" → text
gpus.json      what NVIDIA's library told; absent: there is no such library
expected.json  facts that must come out, each with value and source
about          where all this comes from: seen on a real machine, or written from documentation
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from commands.context import GpuDevice
from pilot.node import Declared, build, cloud, gpus, network, nvml, software
from pilot.node.batch import allocations
from pilot.node.discovery import allocation, has_all, settle
from pilot.node.hardware import parse_cpu_list, show_cpu_list
from pilot.node.machine import Machine, System, this_machine
from pilot.node.outside import Request
from pilot.protocol import Fact

CASES = Path(__file__).parent / "data" / "nodes"
#: Variables that say something of a machine or an allocation, and nothing of a person's secrets.
TOLD = re.compile(
    r"(SLURM|SGE|OAR|PBS|LSB|_CONDOR|CUDA|NVIDIA|GPU|PE)(_\w+)?|JOB_ID|QUEUE|NSLOTS|NHOSTS|NCPUS|MACHINEFEATURES|JOBFEATURES"
)


@dataclass(frozen=True)
class Captured:
    """A machine as it was, and what its queue declared."""

    machine: Machine
    declared: Declared
    elapsed: float  # seconds since the pilot began
    devices: tuple[GpuDevice, ...] | None  # what NVIDIA's library told

    def facts(self) -> tuple[Fact, ...]:
        """What the probes find that depend on nothing but what was captured."""
        machine = self.machine
        given = allocations(machine, self.elapsed)
        found = (
            *allocation(machine, self.declared, self.elapsed, given),
            *gpus.gpus(machine, lambda: self.devices, given, has_all(machine, given)),
            *build.platform(machine),
            *build.cpu(machine),
            *network.network(machine, ()),
            *cloud.identity(machine),
            *software.cgroups(machine, lambda place: False),
        )
        return settle(found, self.declared.tags)


def load(case: Path) -> Captured:
    """The machine of a folder."""
    told = json.loads((case / "system.json").read_text())
    declared = told.pop("declared", {})
    now, elapsed = told.pop("now", 0.0), told.pop("elapsed", 0.0)
    tags = tuple(declared.pop("tags", ()))
    answers = _json(case / "answers.json") or {}
    devices = _json(case / "gpus.json")
    printed = {path.name: path.read_text() for path in (case / "commands").glob("*")}

    def run(words: Sequence[str]) -> str | None:
        return printed.get(" ".join(words).replace("/", "%"))

    def fetch(request: Request) -> str | None:
        text: str | None = answers.get(f"{request.method} {request.url}")
        return text

    system = System(affinity=parse_cpu_list(told.pop("affinity")), **told)
    machine = Machine(system, case / "files", _environment(case / "env"), run, fetch, lambda: now)
    found = tuple(GpuDevice(**device) for device in devices) if devices is not None else None
    return Captured(machine, Declared(tags=tags, **declared), elapsed, found)


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _environment(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


@dataclass(frozen=True)
class Recorder(Machine):
    """A machine that writes down all that it is asked for."""

    folder: Path = Path()

    def read(self, path: str) -> str | None:
        text = super().read(path)
        if text is not None:
            place = self.folder / "files" / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_without_addresses(text) if path.endswith("os-release") else text)
        return text


def record(folder: Path) -> None:
    """Write down this machine, and what is found on it: to be read through before it becomes a case."""
    (folder / "commands").mkdir(parents=True)
    here = this_machine()
    told = {name: value for name, value in sorted(here.environment.items()) if TOLD.fullmatch(name)}
    answers: dict[str, str] = {}

    def run(words: Sequence[str]) -> str | None:
        text = here.run(words)
        if text is not None:
            (folder / "commands" / " ".join(words).replace("/", "%")).write_text(text)
        return text

    def fetch(request: Request) -> str | None:
        text = here.fetch(request)
        if text is not None:
            answers[f"{request.method} {request.url}"] = text
        return text

    now = time.time()
    devices = nvml.devices()
    recorder = Recorder(here.system, here.root, told, run, fetch, lambda: now, folder)
    facts = Captured(recorder, Declared(), 0.0, devices).facts()
    system = {**asdict(here.system), "affinity": show_cpu_list(here.system.affinity), "now": now, "declared": {}}
    (folder / "env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    _write(folder / "system.json", system)
    _write(folder / "expected.json", {fact.name: {"value": fact.value, "source": fact.source} for fact in facts})
    if answers:
        _write(folder / "answers.json", answers)
    if devices is not None:
        _write(folder / "gpus.json", [asdict(device) for device in devices])


def _without_addresses(text: str) -> str:
    """`os-release` without the pages of its makers, which nothing here looks at."""
    return "".join(line for line in text.splitlines(keepends=True) if "URL=" not in line)


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
