"""A whole Pilotage on one machine, for tests and measurements: a real central, its director, and real pilots.

Everything is a process of its own in one folder. Processes are found by the folder's path in their command lines, and
only those are ever ended.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pilotage import Client
from tests import chosen_store
from tests.patience import PATIENCE

TOP = Path(__file__).resolve().parent.parent
BUNDLE = TOP / "dist" / "pilot.pyz"
T = TypeVar("T")

SETTINGS = """\
[central]
bind = "127.0.0.1"
port = {port}
url = "{url}"
lease = "{lease}"
beat = "{beat}"
silent_after = "{silent_after}"
{store}
[[communities]]
name = "physics"
groups = [{{name = "users"}}]

[[sites]]
name = "here"

[[queues]]
name = "local"
site = "here"
kind = "{kind}"
slots = {slots}
cores = {cores}
memory = "{memory}"
disk = "{disk}"
wall_time = "{wall_time}"
communities = ["physics"]
idle = "{idle}"
lease = "{lease}"
{queue}
"""


@dataclass
class Plan:
    """How the system is set up. Durations as in the settings file."""

    slots: int = 1
    cores: int = 2
    lease: str = "60 s"
    beat: str = "1 s"
    silent_after: str = "20 s"
    idle: str = "120 s"
    wall_time: str = "unlimited"
    url: str = ""  # what pilots are told; empty: the central itself
    path: str = ""  # PATH of the central and so of its pilots; empty: as here
    workers: int = chosen_store.WORKERS  # processes that serve
    queue: str = ""  # more lines of the queue's settings
    kind: str = "local"
    memory: str = "8 GB"
    disk: str = "20 GB"
    user: str = ""  # who runs the central, from a folder that is this user's; empty: who runs the tests
    program: tuple[str, ...] = ("-m", "central")  # the central, for Python


class System:
    """One central with its folder. `start`, `kill` and `stop` may be called again and again."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = 0  # lines that say so, once it serves
        self.store = ""  # what the settings say of the store

    def write_settings(self) -> None:
        values = {**vars(self.plan), "port": self.port, "url": self.plan.url or self.url, "store": self.store}
        text = SETTINGS.format(**values)
        (self.folder / "central.toml").write_text(text)

    def make(self) -> None:
        """Make the folder: settings, certificates, token."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = f"{chosen_store.settings()}workers = {self.plan.workers}\n"
        self.write_settings()
        if self.plan.user:
            for path in (self.folder, self.folder / "central.toml"):
                shutil.chown(path, self.plan.user, self.plan.user)
        central("init", "--folder", str(self.folder), "--pilot", str(BUNDLE), user=self.plan.user)
        client = self.folder / "client.toml"  # the test talks to the central directly, whatever pilots are told
        client.write_text(re.sub(r"url = .*", f'url = "{self.url}"', client.read_text()))

    def start(self) -> None:
        self.ready = self._ready_lines() + 1
        with open(self.folder / "central.log", "ab") as log:
            self.process = subprocess.Popen(
                [*acting_as(self.plan.user), sys.executable, *self.plan.program, "serve", "--folder", str(self.folder)],
                cwd=TOP,
                env={**os.environ, "PATH": self.plan.path or os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._healthy, 30, "the central to be healthy", self.log)

    def _healthy(self) -> bool:
        assert self.process
        assert self.process.poll() is None, f"the central ended: {self.log()}"
        return self._ready_lines() >= self.ready

    def _ready_lines(self) -> int:
        """How often a central has said that it serves."""
        path = self.folder / "central.log"
        return path.read_bytes().count(f"ready {self.plan.url or self.url}\n".encode()) if path.exists() else 0

    def kill(self) -> None:
        """kill -9 of the central, of all its processes."""
        assert self.process
        workers = self.workers()
        for pid in (self.process.pid, *workers):
            deliver(pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None
        wait_for(lambda: not self.workers(), 10, "the workers to be gone")

    def workers(self) -> list[int]:
        """The processes that serve, where there are several."""
        folder = str(self.folder)
        return [row.pid for row in process_rows() if "worker" in row.words and folder in row.words]

    def stop(self) -> None:
        """End the central as an operator does."""
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def end(self) -> None:
        """End the central, and whatever lives in this folder. How pilots end by themselves is not seen here: it takes
        them seconds each, and tests about that have waited for it before."""
        self.stop()
        wait_for(self._nothing_lives, 15, "the pilots to end")

    def _nothing_lives(self) -> bool:
        """Kill what is there; whether nothing was."""
        pids = self.processes("")
        for pid in pids:
            deliver(pid, signal.SIGKILL)
        return not pids

    def client(self) -> Client:
        return Client.from_folder(self.folder)

    def log(self) -> str:
        return (self.folder / "central.log").read_text(errors="replace")[-4000:]

    # -- pilots -----------------------------------------------------------------------------------------------------
    def processes(self, word: str, stamp: str = "") -> list[int]:
        """Processes of this folder's pilots, by where they work or what they are, and what these have started; with
        `word` in the command line."""
        place = str(self.folder / "pilots") + "/"
        rows = {row.pid: row for row in process_rows() if row.pid != os.getpid()}
        ours = {row.pid for row in rows.values() if any(place in item and stamp in item for item in row.places)}
        while more := {row.pid for row in rows.values() if row.parent in ours} - ours:
            ours |= more
        return [pid for pid in rows if pid in ours and (not word or word in rows[pid].words)]

    def monitors(self, stamp: str = "") -> list[int]:
        return _no_copies(self.processes("--config", stamp))

    def agents(self, stamp: str = "") -> list[int]:
        return _no_copies(self.processes("agent", stamp))

    def attempt(self, job: int, attempt: int, name: str) -> list[Path]:
        """A file in the directory of an attempt, wherever it runs."""
        return list((self.folder / "pilots").glob(f"*/*/*/attempts/{job}.{attempt}/job/{name}"))


def acting_as(user: str) -> Sequence[str]:
    """What a command begins with that another user is to run; it may read this Python and what is tested, wherever."""
    if not user:
        return ()
    may = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    home = pwd.getpwnam(user).pw_dir
    who = (f"--reuid={user}", f"--regid={user}", "--init-groups", *may)
    return ("setpriv", *who, "env", f"HOME={home}", f"USER={user}", f"LOGNAME={user}")


def _no_copies(pids: list[int]) -> list[int]:
    """Without those that another of them has forked: such a one looks the same until it is another program."""
    return [row.pid for row in process_rows() if row.pid in pids and row.parent not in pids]


def central(*arguments: str, user: str = "") -> str:
    """Run ``python -m central …`` and return what it printed."""
    done = subprocess.run(
        [*acting_as(user), sys.executable, "-m", "central", *arguments],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class ProcessRow:
    """What the system tells of a process. Where it works is not told of another's, nor of one that guards itself."""

    pid: int
    parent: int
    words: list[str]
    folder: str

    @property
    def places(self) -> tuple[str, ...]:
        return (*self.words, self.folder)


def process_rows() -> Iterator[ProcessRow]:
    """Every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = [os.fsdecode(word) for word in (entry / "cmdline").read_bytes().split(b"\0")]
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            try:
                folder = os.readlink(entry / "cwd")
            except OSError:
                folder = ""
            yield ProcessRow(int(entry.name), parent, words, folder)


def deliver(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ask: Callable[[], T], seconds: float, what: str, more: Callable[[], str] = str) -> T:
    """Ask until the answer is true, and return it. `seconds`: what that may take on a quiet machine."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}. {more()}"
        time.sleep(0.05)
    return answer


def check_log(client: Client, job: int, expected: bytes, *, attempt: int | None = None) -> None:
    """What a job printed arrives whole; its last bytes may come after the report of its end."""
    try:
        wait_for(
            lambda: len(client.logs(job, attempt=attempt)) >= len(expected),
            60,
            f"{len(expected)} bytes of the log of job {job}",
        )
    finally:
        assert client.logs(job, attempt=attempt) == expected


@contextmanager
def running_system(folder: Path, plan: Plan | None = None) -> Iterator[System]:
    """A started system; nothing of it is left afterwards."""
    system = System(folder, plan or Plan())
    system.make()
    try:
        system.start()
        yield system
    finally:
        system.end()
