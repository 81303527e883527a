"""Trading the one-time secret for a place at the central."""

from __future__ import annotations

import base64
import os
import socket
import sys
from pathlib import Path
from typing import Callable

from pilot.backoff import Backoff
from pilot.config import Config
from pilot.errors import InvalidInput, Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.session import instance_of
from pilot.protocol import EnrolReply, EnrolRequest, Fact

#: Bytes of a session key.
KEY_SIZE = 32
#: The marker that tells the wrapper that the pilot can speak for itself now.
MARKER = "enrolled"
#: Where the wrapper leaves what it may send the boot log with.
TICKET = "ticket"
#: More than any secret.
_MAX_SECRET = 4096
#: How batch systems count how often they have started a job before.
_RESTARTS = ("SLURM_RESTART_COUNT",)


class Interrupted(Exception):
    """The wait was ended from outside."""


def read_secret(path: Path) -> str:
    """The one-time secret. Raises `InvalidInput`."""
    try:
        with path.open("rb") as file:
            secret = file.read(_MAX_SECRET).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise InvalidInput(str(path), f"expected the pilot's one-time secret: {error}") from error
    if not secret:
        raise InvalidInput(str(path), "expected the pilot's one-time secret, got an empty file")
    return secret


def ticket(config: Config) -> str:
    """What the wrapper may send the boot log with, where it left it; empty where it did not."""
    return _first_line(str(config.work / TICKET))


def request(secret: str, key: bytes, version: str) -> EnrolRequest:
    """What is sent: the same each time, so that a lost reply is no alarm."""
    return EnrolRequest(
        secret=secret,
        session_key=base64.b64encode(key).decode(),
        pilot_version=version,
        instance=instance_of(Path("/"), os.geteuid()),
        restarts=next((int(value) for name in _RESTARTS if (value := os.environ.get(name, "")).isdigit()), 0),
        facts=(
            Fact("host", socket.gethostname(), "uname"),
            Fact("python", sys.version.split()[0], sys.executable),
            Fact("user", os.geteuid(), "geteuid"),
        ),
    )


def enrol(
    client: CentralClient,
    what: EnrolRequest,
    *,
    patience: float,
    wait: Callable[[float], bool],
    rng: Callable[[], float],
    say: Callable[[str], None],
) -> EnrolReply:
    """Try until a central answers. `wait` waits so many seconds and says whether to stop, which raises `Interrupted`.

    Raises the `Refusal` of a central that will not have this pilot, `TransportError` when none answered in `patience`
    seconds.
    """
    steady = client.standing.steady
    deadline = steady() + patience
    backoff = Backoff(rng, first=0.25)
    while True:
        problem: Exception
        retry_after = None
        try:
            return client.enrol(what)
        except TransportError as error:
            problem = error
        except Refusal as refusal:
            if not refusal.transient:
                raise
            problem, retry_after = refusal, refusal.retry_after
        if backoff.failures in (0, 10):
            say(f"enrolment is tried again: {problem}")
        pause = backoff.failed(retry_after)
        if steady() + pause > deadline:
            raise TransportError(f"no central enrolled this pilot within {patience:.0f} s: {problem}") from problem
        if wait(pause):
            raise Interrupted


def leave_traces(config: Config) -> None:
    """Remove secret and ticket, which are worth nothing any more, and tell the wrapper that the pilot is known."""
    config.secret_file.unlink(missing_ok=True)
    (config.work / TICKET).unlink(missing_ok=True)
    (config.work / MARKER).touch(mode=0o600)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
