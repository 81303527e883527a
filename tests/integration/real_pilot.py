"""A real pilot, monitor and agent, as a process against the wire's central; perhaps another user's, or under bounds."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).parent.parent.parent
#: Of each test run its own: control groups on this machine are called by it.
STAMP = secrets.token_hex(16)


class RealPilot:
    """One pilot's folder and process. `config` is more of its configuration, or other."""

    def __init__(
        self,
        folder: Path,
        url: str,
        ca: Path | str,
        secret: str,
        *,
        stamp: str = STAMP,
        work: Path | None = None,
        **config: Any,
    ) -> None:
        self.stamp = stamp
        self.folder = folder / stamp
        self.folder.mkdir()
        self.work = work or self.folder
        (self.folder / "secret").write_text(secret + "\n")
        (self.folder / "secret").chmod(0o600)
        values = {
            "version": 1,
            "stamp": stamp,
            "central": [url],
            "ca": str(ca),
            "secret_file": "secret",
            "site": "here",
            "queue": "local",
            "work": str(self.work),
            "cores": 2,
            "disk": "unlimited",
            "memory": 2_000_000_000,
            "wall_time": "unlimited",
            "finish": 20,
            "patience": 20,
            **config,
        }
        self.config = self.folder / "pilot.json"
        self.config.write_text(json.dumps(values))
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: Sequence[str] = (sys.executable, "-m", "pilot"),
        user: int | None = None,
        before: Callable[[], None] | None = None,
        more: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> RealPilot:
        """`command` runs the pilot's command line and `more`, as that user, with `environment` besides our own.

        `before` is called in the new process.
        """
        with (self.folder / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, "run", "--config", str(self.config), *more],
                cwd=TOP if user is None else "/",
                env={**os.environ, **(environment or {})},
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                preexec_fn=before,  # noqa: PLW1509 - no thread of a test holds a lock that it needs
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def agent(self) -> int:
        """The process id of the agent."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (pid,) = (int(child) for child in children)
        return pid

    def wait(self, seconds: float = 120.0) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def end(self) -> None:
        """Have it end in good order, or kill it; what it ran is ended with it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """What monitor and agent said, wherever."""
        said = [self.work / "pilot.log", self.folder / "stderr"]
        return "".join(path.read_text(errors="replace") for path in said if path.exists())
