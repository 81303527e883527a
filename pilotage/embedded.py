"""A central in a folder of this machine, as a process: made, started, waited for, found again and stopped."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pilot.errors import PilotageError, TransportError
from pilotage.client import Client

#: Seconds that a central gets to come up, and to go down.
UP, DOWN = 60.0, 60.0
LOOK = 0.1
#: Lines of its log that tell why a central did not come up.
LAST_LINES = 5
#: What a verb of the central was to do, when it could not.
_FAILED = {
    "init": "The central cannot be set up",
    "backup": "No copy can be made",
    "verify-audit": "The audit cannot be verified",
}
_BUILT = Path(__file__).resolve().parent.parent / "dist" / "pilot.pyz"


def central(*arguments: str) -> Sequence[str]:
    """The command line that runs the central of this installation, whatever folder one is in."""
    return (sys.executable, "-P", "-m", "central", *arguments)


class Embedded:
    """The central of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "central.log"

    def make(
        self,
        port: int | None = None,
        pilot: Path | None = None,
        database: str | None = None,
        workers: int | None = None,
    ) -> str:
        """Make the folder, or what is missing in it; returns what was done. Raises `PilotageError`."""
        pilot = pilot or (_BUILT if _BUILT.exists() else None)
        if pilot is None and not (self.folder / "pilot.pyz").exists():
            raise PilotageError(
                f"There is no {_BUILT}, the file that pilots are started from: make it with `./dev bundle` in the"
                " checkout, or name one with --pilot."
            )
        options = ["--folder", str(self.folder)]
        options += ["--port", str(port)] if port is not None else []
        options += ["--pilot", str(pilot)] if pilot else []
        options += ["--database", database] if database is not None else []
        options += ["--workers", str(workers)] if workers is not None else []
        return self.run("init", *options)

    def run(self, *arguments: str) -> str:
        """Run a verb of the central to its end; returns what it printed. Raises `PilotageError` with what it said."""
        done = subprocess.run(central(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            said = done.stderr.strip().removeprefix("central: ") or f"it ended with code {done.returncode}"
            raise PilotageError(f"{_FAILED.get(arguments[0], arguments[0])}: {said}")
        return done.stdout.strip()

    def start(self, workers: int | None = None) -> subprocess.Popen[bytes]:
        """Start to serve, in a session of its own; what it says goes to its log."""
        options = ["--workers", str(workers)] if workers is not None else []
        with self.log.open("ab") as log:
            return subprocess.Popen(
                central("serve", "--folder", str(self.folder), *options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it answers. Raises `PilotageError` with the end of its log when it does not come up."""
        end = time.monotonic() + UP
        with self.client(patience=0.0) as client:
            while True:
                if process.poll() is not None:
                    raise PilotageError(f"The central ended with code {process.returncode}:\n{self.last_words()}")
                try:
                    client.health()
                except TransportError as error:
                    if time.monotonic() > end:
                        raise PilotageError(
                            f"The central does not come up; {self.log} says:\n{self.last_words()}"
                        ) from error
                    time.sleep(LOOK)
                else:
                    return

    def last_words(self) -> str:
        """The last lines of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:])

    def client(self, patience: float = 30.0) -> Client:
        """A client for the owner of the folder."""
        return Client.from_folder(self.folder, patience=patience)

    def holder(self) -> int | None:
        """The process that serves this folder: whoever holds its lock. None: nobody."""
        try:
            lock = os.open(self.folder / "central.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(lock, 20).decode(errors="replace").strip()
            return int(text) if text.isdigit() else None
        else:
            return None
        finally:
            os.close(lock)

    def stop(self) -> None:
        """End whoever serves this folder, and wait for it. Raises `PilotageError` when it stays."""
        process = self.holder()
        if process is None:
            return
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:  # it ended just now
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            ended, _, _ = select.select([handle], [], [], DOWN)
        finally:
            os.close(handle)
        if not ended:
            raise PilotageError(
                f"Process {process} still serves {self.folder} after {DOWN:g} s; {self.log} may say why."
            )
