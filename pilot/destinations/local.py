"""``file://``: a place that is mounted on the node, written and read with the rights of the payload's user."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Callable, Optional

from pilot.binds import Bind
from pilot.destination import Target
from pilot.destinations.port import BLOCK, Errand, Rejected, Source, Unavailable
from pilot.errors import TransportError
from pilot.payloads.rights import acting_as
from pilot.persist import Stopped

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT)
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC  # that lets one through, not that may be listed


class LocalStorage:
    """`pilot.destinations.port.Storage` for ``file://``."""

    def put(self, source: Source, target: Target, errand: Errand) -> None:
        path = PurePosixPath(target.path)
        with source.open() as file, acting_as(errand.owner):
            try:
                folder = _folder(path.parent, errand.seen, make=True)
                try:
                    _write(file.fileno(), folder, path.name, source, errand)
                finally:
                    os.close(folder)
            except OSError as error:
                said = f"{target.url}: {error.strerror or error}"
                if error.errno in _FULL:
                    raise Unavailable(said) from error
                raise Rejected(said) from error

    def get(self, target: Target, sink: Callable[[bytes], object], errand: Errand) -> None:
        path = PurePosixPath(target.path)
        try:
            with acting_as(errand.owner):
                folder = _folder(path.parent, errand.seen, make=False)
                try:
                    # With a container a link could lead out of what it sees; without one, to what its user may read.
                    plain = os.O_NOFOLLOW if errand.seen is not None else 0
                    handle = os.open(
                        path.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | plain, dir_fd=folder
                    )  # fmt: skip
                finally:
                    os.close(folder)
            with open(handle, "rb") as file:
                while block := file.read(BLOCK):
                    _go_on(errand)
                    sink(block)
        except OSError as error:
            raise Rejected(f"{target.url}: {error.strerror or error}") from error


def _write(source: int, folder: int, name: str, of: Source, errand: Errand) -> None:
    """Write a file beside, read it again, and give it its name. Raises `OSError`, `TransportError`, `Stopped`."""
    aside = f".{name}.{errand.lease.job}.{errand.lease.attempt}.part"[-255:]
    with suppress(FileNotFoundError):
        os.unlink(aside, dir_fd=folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(aside, flags, 0o666, dir_fd=folder)
    try:
        with open(handle, "r+b") as file:
            os.lseek(source, 0, os.SEEK_SET)
            while block := os.read(source, BLOCK):
                _go_on(errand)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            found = hashlib.sha256()
            while block := file.read(BLOCK):
                _go_on(errand)
                found.update(block)
        if found.hexdigest() != of.digests.sha256:
            raise TransportError(
                f"{name} was stored wrongly: expected sha256 {of.digests.sha256}, got {found.hexdigest()}"
            )
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:  # whatever it was: half a file does not stay in somebody's folder
        with suppress(OSError):
            os.unlink(aside, dir_fd=folder)
        raise


def _folder(path: PurePosixPath, seen: Optional[Sequence[Bind]], *, make: bool) -> int:
    """An open folder, made where it is missing. Where the payload has a container, one that it sees, and no other.

    Raises `OSError`, `Rejected`.
    """
    missing: list[str] = []
    while not os.path.lexists(path) and make and path.parent != path:
        missing.append(path.name)
        path = path.parent
    folder = os.open(path, _FOLDER)
    try:
        if seen is not None:
            _expect_seen(folder, seen, make)
        for name in reversed(missing):
            with suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=folder)
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
    except BaseException:  # whatever it was: nobody else has the folder yet
        os.close(folder)
        raise
    return folder


def _expect_seen(folder: int, seen: Sequence[Bind], write: bool) -> None:
    """Raises `Rejected` for a folder that lies outside of what the payload's container shows of the node."""
    place = os.readlink(f"/proc/self/fd/{folder}")
    for bind in seen:
        source = os.path.realpath(bind.source)
        if (place == source or place.startswith(source.rstrip("/") + "/")) and (bind.writable or not write):
            return
    verb = "may write to" if write else "sees"
    raise Rejected(f"{place} is outside of what the payload's container {verb}: no file goes to or comes from there")


def _go_on(errand: Errand) -> None:
    if errand.pause(0):
        raise Stopped(None)
