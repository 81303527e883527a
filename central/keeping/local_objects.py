"""Objects in a folder of this machine: plain calls of the system, since log chunks come by the thousand a second.

Names, and what is visible when, are those of `Objects`; only what every chunk needs is done differently.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from central.keeping.objects import Objects


class LocalObjects(Objects):
    """A tree of files below a folder."""

    def __init__(self, folder: str) -> None:
        root = os.path.abspath(folder)
        super().__init__(LocalFileSystem(auto_mkdir=True), root)
        self._top = root

    @property
    def grows(self) -> bool:
        return True

    def put(self, name: str, start: int, content: bytes) -> None:
        path = f"{self._top}/{name}"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while content:
                written = os.pwrite(file, content, start)
                start, content = start + written, content[written:]
        finally:
            os.close(file)

    def read(self, name: str, start: int, length: int) -> bytes:
        file = os.open(f"{self._top}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, length, start)
        finally:
            os.close(file)

    def move(self, old: str, new: str) -> None:
        os.rename(f"{self._top}/{old}", f"{self._top}/{new}")

    def sizes(self, folder: str) -> Mapping[str, int]:
        return {name: found.st_size for name, found in self._found(folder) if S_ISREG(found.st_mode)}

    def folders(self, folder: str) -> Sequence[str]:
        return [name for name, found in self._found(folder) if S_ISDIR(found.st_mode)]

    def _found(self, folder: str) -> list[tuple[str, os.stat_result]]:
        try:
            entries = list(os.scandir(f"{self._top}/{folder}"))
        except FileNotFoundError:
            return []
        found = []
        for entry in entries:
            try:
                found.append((entry.name, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue  # removed meanwhile
        return found
