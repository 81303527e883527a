"""What a payload can do at its worst, within bounds that keep the machine usable: cores, memory, processes, disk."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral
from wrappers import bundle, libraries

MB = 1_000_000
#: A user whom no machine has: its processes are those of the test.
SOMEBODY = 61_234
#: Processes and threads that it may have in all.
MOST_PROCESSES = 150

BURN = """
import os, time
for _ in range(8 * os.cpu_count()):
    if os.fork() == 0:
        while True: pass
while True:
    print("tick"); time.sleep(0.2)
"""
EAT = """
import time
print("tick")
held = []
while True:
    held.append(bytearray(32_000_000))
    for spot in range(0, 32_000_000, 4096): held[-1][spot] = 1
"""
BOMB = """
import os, time
print("tick")
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.02)
"""
FILL = """
import time
print("tick")
with open("most", "wb", buffering=0) as file:
    file.write(bytes(30_000_000))
while True:
    try:
        with open("rest", "ab", buffering=0) as file:
            while True: file.write(b"x")
    except OSError:
        time.sleep(0.05)
"""


class Unable(Exception):
    """This machine does not let us; the message says what it needs."""


@contextmanager
def memory_group(size: int) -> Iterator[Path]:
    """A control group that may have so many bytes. Raises `Unable`. For version 2 written from its documentation."""
    try:
        group = _made("/sys/fs/cgroup/memory", "memory.limit_in_bytes", size)
    except OSError:
        try:
            group = _made("/sys/fs/cgroup", "memory.max", size)
        except OSError as error:
            raise Unable(f"needs a control group for memory that can be written: {error}") from error
    try:
        yield group
    finally:
        end = time.monotonic() + 20
        while (group / "cgroup.procs").read_text() and time.monotonic() < end:
            time.sleep(0.1)
        group.rmdir()


def _made(top: str, limit: str, size: int) -> Path:
    group = Path(top) / f"pilotage-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(size))
    except OSError:
        group.rmdir()
        raise
    return group


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 64 MB in memory. Raises `Unable`."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "pilotage-test", str(place)]
    done = subprocess.run(mount, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise Unable(f"needs to mount a file system: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(file: Path) -> int:
    """Write to a file until there is no room. Returns the bytes that are free then."""
    try:
        with file.open("ab", buffering=0) as there:
            while True:
                there.write(bytes(4096))
    except OSError:
        return shutil.disk_usage(file.parent).free


@dataclass(frozen=True)
class Anybodys:
    """A folder that SOMEBODY may look into, and the command of a pilot that SOMEBODY can run."""

    folder: Path
    command: tuple[str, ...]

    @property
    def python(self) -> str:
        return self.command[0]

    def config(self, central: WireCentral) -> dict[str, Any]:
        """What makes a `RealPilot` one of this folder."""
        certificate = self.folder / "ca.pem"
        shutil.copyfile(central.ca, certificate)
        certificate.chmod(0o644)
        return {"folder": self.folder, "ca": certificate}

    def start(self, pilot: RealPilot, processes: int | None) -> RealPilot:
        """Run it as SOMEBODY, who may have so many processes and threads; None: any number."""
        for path in (pilot.folder, *pilot.folder.iterdir()):
            os.chown(path, SOMEBODY, SOMEBODY)
        return pilot.start(self.command, user=SOMEBODY, before=None if processes is None else lambda: bound(processes))


@contextmanager
def anybodys() -> Iterator[Anybodys]:
    """Make one. Raises `Unable`."""
    if os.geteuid() != 0:
        raise Unable("needs root, to become another user")
    python = next((each for each in ("/usr/bin/python3", "/usr/local/bin/python3") if os.access(each, os.X_OK)), "")
    if not python:
        raise Unable("needs a Python that another user may run")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pilotage-test-") as name:  # tmp itself may be private
        folder = Path(name)
        folder.chmod(0o755)
        wheels = libraries.fetch(bundle.ROOT / bundle.LOCK, bundle.ROOT / "build" / "wheels")
        (folder / "pilot.pyz").write_bytes(bundle.build(bundle.ROOT, wheels))
        yield Anybodys(folder, (python, "-I", str(folder / "pilot.pyz")))


def threads_of(user: int) -> int:
    """How many processes and threads a user has; the kernel counts both against the limit."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*/task/*/status"):
        try:
            found += f"Uid:\t{user}\t" in entry.read_text()
        except OSError:
            continue
    return found


def bound(processes: int) -> None:
    """From here on, this user may have at most so many processes and threads."""
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
