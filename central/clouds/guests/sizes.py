"""The flavors of guests, and how much of this host they may have: built in, or as ``guests.toml`` in their folder says.

[quota]
machines = 20
cores = 16
memory = "32 GB"

[[flavors]]
name = "small"
cores = 1
memory = "2 GB"
disk = "10 GB"
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from central.clouds.port import Flavor
from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields

SETTINGS = "guests.toml"
_GIB = 1024**3
BUILT_IN = tuple(
    Flavor(name, name, cores, cores * 2 * _GIB, 20 * _GIB)
    for name, cores in (("small", 1), ("medium", 2), ("large", 4), ("huge", 8))
)
_MOST_CORES, _LEAST_MEMORY = 4096, 64 * 1024**2


@dataclass(frozen=True)
class Sizes:
    """What guests there may be. Bytes; `machines` None: as many as the others allow."""

    flavors: tuple[Flavor, ...]
    machines: int | None
    cores: int
    memory: int


def read(folder: Path) -> Sizes:
    """Raises `PilotageError`, with every problem of the file."""
    path = folder / SETTINGS
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        document = {}
    except (OSError, ValueError) as error:
        raise PilotageError(f"{path} cannot be read: {error}") from error
    problems: list[InvalidInput] = []
    top = Fields(document, "", problems)
    quota = Fields(top.take("quota", {}), "quota", problems)
    entries = top.take("flavors", [])
    top.finish()
    sizes = Sizes(
        flavors=_flavors(entries, problems) or BUILT_IN,
        machines=quota.whole("machines", 0, least=0, most=100_000) if quota.given("machines") else None,
        cores=quota.whole("cores", os.cpu_count() or 1, least=0, most=1_000_000),
        memory=quota.bytes("memory", _host_memory()),
    )
    quota.finish()
    if problems:
        raise PilotageError("\n".join(f"{path}: {problem}" for problem in problems))
    return sizes


def _flavors(entries: object, problems: list[InvalidInput]) -> tuple[Flavor, ...]:
    if not isinstance(entries, list):
        problems.append(InvalidInput("flavors", "expected a section [[flavors]] for each"))
        return ()
    found = [_flavor(Fields(entry, f"flavors[{index}]", problems)) for index, entry in enumerate(entries)]
    if len({flavor.name for flavor in found}) < len(found):
        problems.append(InvalidInput("flavors", "expected a name of its own for each"))
    return tuple(found)


def _flavor(fields: Fields) -> Flavor:
    name = fields.text("name", "", most=100) or ""
    if not name:
        fields.problem("name", "expected a name")
    cores = fields.whole("cores", 1, least=1, most=_MOST_CORES)
    found = Flavor(
        id=name,
        name=name,
        cores=cores,
        memory=fields.bytes("memory", cores * 2 * _GIB, least=_LEAST_MEMORY),
        disk=fields.bytes("disk", 20 * _GIB, least=_LEAST_MEMORY),
    )
    fields.finish()
    return found


def _host_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
