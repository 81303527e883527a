"""What an owner sees of the directory in which a job runs: part of a file, or what is in a folder.

Names are taken part by part and no link is followed: a payload could change what it points to between a check and the
reading, and its container may see less of the node than we do.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path
from typing import Callable, Optional

from commands.context import Central
from pilot import codec
from pilot.attempts.directory import AttemptDirectory
from pilot.errors import InvalidInput, PilotageError
from pilot.payloads.rights import acting_as
from pilot.payloads.slot_users import SlotUser
from pilot.protocol import MAX_PEEK, Peek, Peeked, attempt_stream

#: Entries of a folder that are told, and answers that one attempt keeps: the monitor opens them as soon as they are.
MAX_ENTRIES = 2000
KEPT = 8
#: Parts of a path; answers that are made at the same time.
MAX_PARTS = 64
AT_ONCE = 4


class Shows:
    """Answers by pushing a log of the attempt. A file system that hangs holds up no more than the asker."""

    def __init__(self, central: Central, say: Callable[[str], None]) -> None:
        self.central = central
        self.say = say
        self._room = threading.Semaphore(AT_ONCE)

    def show(self, place: AttemptDirectory, job: int, attempt: int, order: int, argument: str) -> None:
        """Begin to answer."""
        if not self._room.acquire(blocking=False):
            self.say(f"job {job} is not looked into: {AT_ONCE} others are just looked at")
            return
        work = (place, attempt_stream(job, attempt, f"peek{order}"), order, argument)
        threading.Thread(target=self._show, args=work, name="peek", daemon=True).start()

    def _show(self, place: AttemptDirectory, stream: str, order: int, argument: str) -> None:
        try:
            self.central.stream(stream, answer(place.root, place.job, place.owner, argument, order))
            self.central.close_stream(stream)
        except (OSError, PilotageError) as error:
            self.say(f"what is in {place.job} cannot be shown: {error}")
        finally:
            self._room.release()


def answer(root: Path, job: Path, owner: Optional[SlotUser], argument: str, number: int) -> Path:
    """Write what was asked for into a file in `root`: a line of JSON (`Peeked`), then the bytes. Raises `OSError`."""
    try:
        head, content = look(job, owner, codec.loads(Peek, argument.encode()))
    except InvalidInput as error:
        head, content = Peeked("", problem=str(error)), b""
    for old in sorted(root.glob("peek-*"), key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]:
        old.unlink()
    path = root / f"peek-{number}"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(codec.dumps(head) + b"\n" + content)
    return path


def look(job: Path, owner: Optional[SlotUser], wanted: Peek) -> tuple[Peeked, bytes]:
    """What there is, or the problem as a sentence; with the rights of the payload's user."""
    parts = [part for part in wanted.path.split("/") if part not in ("", ".")]
    shown = "/".join(parts)
    if wanted.path.startswith("/") or ".." in parts or "\0" in wanted.path or len(parts) > MAX_PARTS:
        return Peeked(shown, problem="expected a path below the job's directory"), b""
    try:
        with acting_as(owner):
            handle = _open(job, parts)
            try:
                return _seen(handle, shown, wanted)
            finally:
                os.close(handle)
    except OSError as error:
        why = "it is a link, which is not followed" if _is_link(error) else error.strerror or str(error)
        return Peeked(shown, problem=f"{shown or 'the directory'} cannot be read: {why}"), b""


def _is_link(error: OSError) -> bool:
    return error.errno in (errno.ELOOP, errno.EMLINK)


def _open(job: Path, parts: list[str]) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(job, flags | os.O_DIRECTORY)
    for part in parts:
        try:
            inside = os.open(part, flags, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inside
    return handle


def _seen(handle: int, shown: str, wanted: Peek) -> tuple[Peeked, bytes]:
    found = os.fstat(handle)
    if stat.S_ISDIR(found.st_mode):
        content, entries = _listing(handle)
        return Peeked(shown, folder=True, size=entries), content
    if not stat.S_ISREG(found.st_mode):
        return Peeked(shown, problem=f"{shown} is neither a file nor a folder"), b""
    most = max(0, min(wanted.most, MAX_PEEK))
    start = max(0, found.st_size + wanted.offset) if wanted.offset < 0 else wanted.offset
    return Peeked(shown, size=found.st_size, offset=start), os.pread(handle, most, start)


def _listing(handle: int) -> tuple[bytes, int]:
    """Size, time of change and name of each entry, a line each, and how many there are."""
    names = sorted(os.listdir(handle))
    lines = []
    for name in names[:MAX_ENTRIES]:
        try:
            found = os.stat(name, dir_fd=handle, follow_symlinks=False)
        except OSError:
            continue  # gone meanwhile
        mark = "/" if stat.S_ISDIR(found.st_mode) else "@" if stat.S_ISLNK(found.st_mode) else ""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.st_mtime))
        lines.append(f"{found.st_size:>15} {when} {_one_line(name)}{mark}\n")
    if len(names) > MAX_ENTRIES:
        lines.append(f"[... {len(names) - MAX_ENTRIES} more ...]\n")
    return "".join(lines).encode("utf-8", "replace"), len(names)


def _one_line(name: str) -> str:
    """A name that cannot pass for two entries."""
    return name.replace("\n", "\\n")
