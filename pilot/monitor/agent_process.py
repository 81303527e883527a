"""The agent as the monitor sees it: a child process at the other end of a link."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pilot
from pilot.link import Link, pair


class AgentProcess:
    """One agent. `log` is the file descriptor that takes what it prints."""

    def __init__(self, process: subprocess.Popen[bytes], link: Link) -> None:
        self.process = process
        self.link = link

    @classmethod
    def start(cls, archive: Optional[Path], work: Path, log: int) -> AgentProcess:
        """Start the agent in a session of its own, so that a signal to ours is ours to handle."""
        ours, theirs = pair()
        with theirs:
            command, environment = ourselves(archive)
            process = subprocess.Popen(
                [*command, "agent", "--fd", str(theirs.fileno()), "--work", str(work)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=work,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return cls(process, Link(ours))

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> Optional[str]:
        """How it ended, as a phrase; None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()


def ourselves(archive: Optional[Path]) -> tuple[list[str], dict[str, str]]:
    """How to run ourselves, and in which environment."""
    if archive is not None:
        return [sys.executable, "-I", str(archive)], dict(os.environ)
    # In a checkout: found by the path, which -I would leave out.
    checkout = str(Path(pilot.__file__).parent.parent)
    path = os.pathsep.join([checkout, *filter(None, [os.environ.get("PYTHONPATH")])])
    return [sys.executable, "-m", "pilot"], {**os.environ, "PYTHONPATH": path}
