"""The computing element "this host": each pilot a process in a session of its own, in a folder named by its stamp.

The folder outlives the central: after a crash the processes are found again by the path of their script, which holds
the stamp, and the wrapper leaves its exit code in a file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from central.elements.here import INHERITED
from central.elements.places import OUTPUT_BOUND
from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble

_NOTHING: Mapping[str, str] = MappingProxyType({})


class LocalHost:
    """Runs pilots as processes on this host, each in ``<folder>/<stamp>/``; the stamp is the reference as well."""

    lag = 0.0

    def __init__(self, folder: Path, environment: Mapping[str, str] = _NOTHING) -> None:
        self.folder = folder
        self.environment = environment  # of each pilot, beside what it inherits
        self.children: dict[str, subprocess.Popen[bytes]] = {}  # only those started by this process

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        return {submission.stamp: await asyncio.to_thread(self._start, submission) for submission in submissions}

    def _start(self, submission: Submission) -> str | ComputingError:
        place = self.folder / submission.stamp
        script = place / "wrapper.sh"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(place / "secret", submission.secret, 0o600)
            _write(script, submission.script, 0o700)
            (place / "exit").unlink(missing_ok=True)
            with open(place / "output", "ab", opener=_private) as output:
                child = subprocess.Popen(
                    ["/bin/sh", str(script)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=place,
                    env={**{name: os.environ[name] for name in INHERITED if name in os.environ}, **self.environment},
                    start_new_session=True,
                )
        except OSError as error:
            return ComputingError(f"this host did not start pilot {submission.stamp}: {error}", Trouble.UNREACHABLE)
        self.children[submission.stamp] = child
        return submission.stamp

    async def listing(self) -> Sequence[Listed]:
        return await asyncio.to_thread(self._listing)

    def _listing(self) -> list[Listed]:
        try:
            places = [place for place in self.folder.iterdir() if (place / "wrapper.sh").exists()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ComputingError(
                f"the pilots' folder {self.folder} cannot be read: {error}", Trouble.UNREACHABLE
            ) from error
        processes = self._processes()
        if any(place.name not in processes and _exit_code(place / "exit") is None for place in places):
            # It was killed, or has become the wrapper this moment and has no command line yet: a second look tells.
            processes |= self._processes()
        for stamp in [stamp for stamp, child in self.children.items() if child.poll() is not None]:
            del self.children[stamp]
        # A process that is just ending has no command line any more, and cannot be waited for yet.
        running = processes.keys() | self.children.keys()
        return [self._listed(place, running) for place in places]

    def _listed(self, place: Path, running: Set[str]) -> Listed:
        if place.name in running:
            return Listed(place.name, place.name, Standing.RUNNING)
        return Listed(place.name, place.name, Standing.ENDED, _exit_code(place / "exit"))

    def _processes(self) -> dict[str, int]:
        """stamp → pid of every wrapper of this folder that runs, whoever started it.

        Each leads a session. What it has forked looks the same until it is another program, and is not what to signal.
        """
        found: dict[str, int] = {}
        ours = str(self.folder) + "/"
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                leads = os.getsid(int(entry.name)) == int(entry.name)
            except OSError:  # it ended in between, or belongs to somebody else
                continue
            for word in words[1:2]:
                path = os.fsdecode(word)
                if leads and path.startswith(ours) and path.endswith("/wrapper.sh"):
                    found[path[len(ours) :].split("/", 1)[0]] = int(entry.name)
        return found

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        return await asyncio.to_thread(self._cancel, references)

    def _cancel(self, references: Sequence[str]) -> dict[str, ComputingError]:
        """Ask the wrapper to end; it passes the signal on and waits. Only processes that are surely ours."""
        processes = self._processes()
        failures: dict[str, ComputingError] = {}
        for reference in references:
            if reference not in processes:
                continue
            try:
                os.kill(processes[reference], signal.SIGTERM)
            except ProcessLookupError:
                continue
            except OSError as error:
                failures[reference] = ComputingError(f"pilot {reference} was not ended: {error}", Trouble.UNREACHABLE)
        return failures

    async def output(self, stamp: str, reference: str) -> bytes:
        return await asyncio.to_thread(_tail, self.folder / _plain(stamp) / "output")

    async def forget(self, stamp: str, reference: str) -> None:
        place = self.folder / _plain(stamp)
        await asyncio.to_thread(shutil.rmtree, place, True)

    async def capacity(self) -> int | None:
        return None

    async def close(self) -> None:
        pass

    def secret_file(self, stamp: str) -> str:
        return str(self.folder / stamp / "secret")

    def work_base(self, stamp: str) -> str | None:
        return str(self.folder / stamp)

    def exit_file(self, stamp: str) -> str | None:
        return str(self.folder / stamp / "exit")


def _plain(name: str) -> str:
    if "/" in name or name in ("", ".", ".."):
        raise ComputingError(f"expected a stamp, got {name!r}", Trouble.REFUSED)
    return name


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file that nobody else could read at any moment, whole or not at all."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    aside.replace(path)


def _exit_code(path: Path) -> int | None:
    try:
        with _opened(path) as file:
            text = file.read(8).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and len(text) < 6 else None


def _tail(path: Path) -> bytes:
    try:
        with _opened(path) as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - OUTPUT_BOUND))
            return file.read(OUTPUT_BOUND)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ComputingError(f"{path} cannot be read: {error.strerror or error}", Trouble.UNREACHABLE) from error


def _opened(path: Path) -> BinaryIO:
    """A file of a pilot's folder, where what it runs may have put anything: a link or a pipe is refused."""
    file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no plain file")
