"""Which inputs lie in a job's directory as they were brought there: a wildcard among the outputs passes them over.

Written down beside that directory, since another monitor may bring the outputs home.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilot import codec
from pilot.attempts.directory import write_private
from pilot.errors import InvalidInput

NAME = "inputs.json"
#: More than all names that a job may have.
MAX_SIZE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Look:
    """How a file looked: what writes to it changes this."""

    size: int  # bytes
    changed: int  # its content, in nanoseconds since the epoch


@dataclass(frozen=True)
class Staged:
    """By name."""

    files: dict[str, Look] = field(default_factory=dict)


def look(path: Path) -> Look:
    """Raises `OSError`."""
    about = path.stat()
    return Look(about.st_size, about.st_mtime_ns)


def write_down(directory: Path, names: Iterable[str], aside: Path) -> None:
    """Remember how these files look. Where that cannot be written, they are outputs like others."""
    try:
        staged = Staged({name: look(directory / name) for name in names})
        write_private(aside / NAME, codec.dumps(staged).decode())
    except OSError:
        (aside / NAME).unlink(missing_ok=True)


def read(aside: Path) -> Mapping[str, Look]:
    """What was written down; nothing where that is of no use."""
    try:
        with (aside / NAME).open("rb") as file:
            return codec.loads(Staged, file.read(MAX_SIZE)).files
    except (OSError, InvalidInput):
        return {}
