"""What the locks pin, why, and what of it reaches those who use Pilotage."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
#: What travels to nodes, and what client and central need.
SHIPPED = ("pilot", "run")
#: Extras of pyproject.toml that are for nobody but developers.
FOR_DEVELOPERS = ("dev", "bench")

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Pin:
    """One distribution of a lock. `wanted_by`: names of those that need it; files and ourselves as they stand there."""

    name: str
    version: str
    hashes: int
    wanted_by: tuple[str, ...]


def normal(name: str) -> str:
    """A name as all spellings of it are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> tuple[tuple[Pin, ...], tuple[str, ...]]:
    """The pins of a lock, and what stands there and is none."""
    pins: list[Pin] = []
    others: list[str] = []
    for entry in map(str.strip, re.split(r"\n(?=\S)", "\n" + text)):
        if not entry or entry.startswith("#"):
            continue
        if not (found := _PIN.match(entry)):
            others.append(entry.splitlines()[0])
            continue
        comments = re.findall(r"(?m)^ +#[ \t]*(?:via\b[ \t]*)?(.*)$", entry)
        pins.append(
            Pin(normal(found["name"]), found["version"], len(_HASH.findall(entry)), tuple(filter(None, comments)))
        )
    return tuple(pins), tuple(others)


def locks() -> Mapping[str, tuple[Pin, ...]]:
    """The pins of every lock, by its name."""
    return {path.stem: read_lock(path.read_text())[0] for path in sorted((TOP / "requirements").glob("*.lock"))}


def unhashed(lock: str, text: str) -> list[str]:
    """What a lock lets in whatever its bytes are."""
    pins, others = read_lock(text)
    problems = [f"{lock}.lock: {pin.name} {pin.version} has no SHA-256" for pin in pins if not pin.hashes]
    return problems + [f"{lock}.lock: expected a pinned version, got {other!r}" for other in others]


def needed(pins: Sequence[Pin], roots: Collection[str]) -> frozenset[str]:
    """These, and all that they need."""
    found = {normal(root) for root in roots} & {pin.name for pin in pins}
    while more := {pin.name for pin in pins if pin.name not in found and found & set(map(normal, pin.wanted_by))}:
        found |= more
    return frozenset(found)


def extras(project: str) -> Mapping[str, tuple[str, ...]]:
    """What each extra of pyproject.toml asks for itself; under "" what everybody gets. Not those for developers."""
    table = tomllib.loads(project)["project"]
    wanted = {"": table["dependencies"], **table["optional-dependencies"]}
    return {name: tuple(map(_name, asked)) for name, asked in wanted.items() if name not in FOR_DEVELOPERS}


def _name(requirement: str) -> str:
    found = _REQUIREMENT.match(requirement)
    assert found, requirement
    return normal(found[0])


def reaching(pinned: Mapping[str, Sequence[Pin]], project: str) -> Mapping[str, frozenset[str]]:
    """What reaches those who use Pilotage, by the way that it does: a lock that is shipped, or an extra."""
    ways = {f"{lock}.lock": frozenset(pin.name for pin in pinned[lock]) for lock in SHIPPED}
    everything = pinned["dev"]
    return {**ways, **{extra: needed(everything, roots) for extra, roots in extras(project).items() if extra}}
