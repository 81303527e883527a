"""What a payload's user leaves where everybody may leave things: the next payload of that user must not find it."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from pilot.attempts.directory import remove

#: Where any user may make files.
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock")  # noqa: S108 - looked through, not written to
_IPC_RMID = 0


def remove_all_of(uid: int, places: tuple[str, ...] = SHARED) -> None:
    """Remove the files, and the memory, queues and semaphores of System V, that are this user's. Nothing may run as it.

    Only what is its own directly in these places is looked at, with what is below: a directory of somebody else's in
    which it could write keeps what it has there.
    """
    for place in places:
        for path, about in _entries(place):
            if about.st_uid != uid:
                continue
            if stat.S_ISDIR(about.st_mode):
                remove(Path(path))
            else:
                _unlink(path)
    for kind, call in (("shm", _remove_shm), ("msg", _remove_msg), ("sem", _remove_sem)):
        for number in system_v(_text(f"/proc/sysvipc/{kind}"), uid):
            call(number)


def system_v(table: str, uid: int) -> list[int]:
    """The ids in one of the kernel's tables (`/proc/sysvipc/*`) that this user owns or has made."""
    lines = [line.split() for line in table.splitlines()]
    if not lines or not {"uid", "cuid"} <= set(lines[0]):
        return []
    owner, maker = lines[0].index("uid"), lines[0].index("cuid")
    return [int(row[1]) for row in lines[1:] if str(uid) in (row[owner], row[maker])]


def _entries(place: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(place) as entries:
            found = [entry.path for entry in entries]
    except OSError:
        return
    for path in found:
        about = _about(path)
        if about is not None:
            yield path, about


def _about(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # somebody else was faster


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""  # a kernel without System V


def _remove_shm(number: int) -> None:
    ctypes.CDLL(None).shmctl(number, _IPC_RMID, None)


def _remove_msg(number: int) -> None:
    ctypes.CDLL(None).msgctl(number, _IPC_RMID, None)


def _remove_sem(number: int) -> None:
    ctypes.CDLL(None).semctl(number, 0, _IPC_RMID)
