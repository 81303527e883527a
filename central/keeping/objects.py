"""Named bytes behind fsspec: a local folder by default, anything that fsspec has a URL for.

Plain blocking calls, to be made off the event loop. What is written appears whole or not at all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import fsspec  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]

_COPY = 1024 * 1024
#: Names that start so are not finished yet.
UNFINISHED = ".part-"
#: Seconds without a byte after which whoever wrote an object has given up or died.
ABANDONED = 86400.0


class Objects:
    """A tree of objects; names are paths with slashes below the root."""

    def __init__(self, filesystem: fsspec.AbstractFileSystem, root: str) -> None:
        self._files: Any = filesystem
        self._root = root.rstrip("/")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Write one object."""
        with self.writing(name) as file:
            file.write(content)

    def begin(self, name: str) -> Unfinished:
        """Start to write an object that appears when it is whole."""
        folder, _, last = name.rpartition("/")
        return Unfinished(self, f"{folder}/{UNFINISHED}{last[:20]}-{secrets.token_hex(6)}", name)

    @property
    def grows(self) -> bool:
        """Whether `put` may add to an object that is there. Elsewhere than in a folder it may not."""
        return False

    def put(self, name: str, start: int, content: bytes) -> None:
        """Put bytes at their place in an object that is made where there is none. What is there is not cut short.

        Not whole or nothing: a reader may see the first of them, and after a crash they may be all there is.
        """
        raise NotImplementedError("objects of this kind do not grow")

    @contextmanager
    def writing(self, name: str, durable: bool = False) -> Iterator[Unfinished]:
        """An object to write to, which appears when the block ends well and vanishes otherwise."""
        unfinished = self.begin(name)
        try:
            yield unfinished
            unfinished.keep(durable)
        except BaseException:  # nothing half-written stays, whatever happened
            unfinished.discard()
            raise

    def create(self, name: str) -> BinaryIO:
        """Open an object for writing, in place."""
        file: BinaryIO = self._files.open(self._path(name), "wb")
        return file

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading, seekable. Raises `FileNotFoundError`."""
        file: BinaryIO = self._files.open(self._path(name), "rb")
        return file

    def read(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of an object."""
        with self.open(name) as file:
            file.seek(start)
            return file.read(length)

    def move(self, old: str, new: str) -> None:
        self._files.mv(self._path(old), self._path(new))

    def join(self, parts: Iterable[tuple[str, int]], target: str) -> None:
        """Write one object out of several, in order, each without so many of its first bytes."""
        with self.writing(target) as file:
            for name, skip in parts:
                with self.open(name) as part:
                    part.seek(skip)
                    while block := part.read(_COPY):
                        file.write(block)

    def sizes(self, folder: str) -> Mapping[str, int]:
        """The objects directly in a folder: last part of the name → bytes. Empty when there is no such folder."""
        return {name: entry["size"] for name, entry in self._entries(folder).items() if entry["type"] == "file"}

    def folders(self, folder: str) -> Sequence[str]:
        """The folders directly in a folder."""
        return [name for name, entry in self._entries(folder).items() if entry["type"] == "directory"]

    def _entries(self, folder: str) -> Mapping[str, Mapping[str, Any]]:
        try:
            entries = self._files.ls(self._path(folder), detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in entries}

    def size(self, name: str) -> int | None:
        """The bytes of one object, None where there is none."""
        try:
            return int(self._files.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    def abandoned(self, folder: str, now: float) -> Sequence[str]:
        """What was begun in a folder so long ago that nobody works on it any more."""
        begun = [name for name in self.sizes(folder) if name.startswith(UNFINISHED)]
        return [name for name in begun if now - self.modified(f"{folder}/{name}") > ABANDONED]

    def modified(self, name: str) -> float:
        """When it was written, in seconds since the epoch; without end where it is gone."""
        try:
            return float(self._files.modified(self._path(name)).timestamp())
        except FileNotFoundError:
            return float("inf")

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for name in names:
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                pass

    def remove_empty(self, folder: str) -> None:
        """Remove a folder; one in which there is something, by now, stays."""
        try:
            self._files.rmdir(self._path(folder))
        except OSError:
            pass

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is in it; one that is not there is no error."""
        try:
            self._files.rm(self._path(folder), recursive=True)
        except FileNotFoundError:
            pass


class Unfinished:
    """An object that is being written. Ends by `keep` or `discard`."""

    def __init__(self, objects: Objects, temporary: str, name: str) -> None:
        self._objects = objects
        self._temporary = temporary
        self._name = name
        self._file = objects.create(temporary)
        self.size = 0  # bytes written so far

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self.size += len(block)

    def keep(self, durable: bool, name: str | None = None) -> None:
        """It is whole: give it its name, or another. `durable`: on the disk first, where there is one."""
        if durable:
            self._file.flush()
            _sync(self._file)
        self._file.close()
        self._objects.move(self._temporary, name or self._name)

    def discard(self) -> None:
        """It came to nothing."""
        self._file.close()
        self._objects.remove([self._temporary])


def open_objects(location: str) -> Objects:
    """The objects at a folder or URL."""
    from central.keeping.local_objects import LocalObjects

    if "://" not in location:
        return LocalObjects(location)
    filesystem, root = url_to_fs(location)
    return Objects(filesystem, root)


def _sync(file: BinaryIO) -> None:
    try:
        os.fsync(file.fileno())
    except (OSError, AttributeError):
        pass
