"""The folders of guests: one for each, named by its id, with what it is written down in it.

The id holds the installation's mark and the stamp, so that a folder that was just made and holds nothing yet is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from central.clouds.guests.seed import write

_FILE = "machine.json"
_ID = re.compile(r"pilotage-(?P<central>[0-9a-z]{1,16})-(?P<stamp>[0-9a-f]{32})")


class Record(msgspec.Struct, frozen=True):
    """What a guest is. Bytes of memory; `created` in seconds since the epoch."""

    central: str
    stamp: str
    queue: str
    kind: str
    flavor: str
    cores: int
    memory: int
    created: float

    @property
    def id(self) -> str:
        return id_of(self.central, self.stamp)


def id_of(central: str, stamp: str) -> str:
    return f"pilotage-{central}-{stamp}"


def good(id: str) -> bool:
    return _ID.fullmatch(id) is not None


def put(folder: Path, record: Record) -> None:
    """Raises `OSError`."""
    aside = folder / f"{_FILE}.new"
    write(aside, msgspec.json.encode(record), 0o600)
    aside.replace(folder / _FILE)


def get(folder: Path, kind: str) -> Record | None:
    """What is written down, or as much as the folder's name tells; None: it is no guest's folder, or gone. Raises
    `OSError`."""
    found = _ID.fullmatch(folder.name)
    if not found:
        return None
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    try:
        made = os.stat(folder).st_mtime
    except FileNotFoundError:
        return None
    return Record(found["central"], found["stamp"], "", kind, "", 0, 0, made)


def every(machines: Path, kind: str) -> Iterator[tuple[Path, Record]]:
    """Every guest of every installation. `kind`: of those that have not written down theirs. Raises `OSError`."""
    try:
        names = sorted(os.listdir(machines))
    except FileNotFoundError:
        return
    for name in names:
        if record := get(machines / name, kind):
            yield machines / name, record
