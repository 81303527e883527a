"""What probes ask of others, bounded in time and size: commands of a batch system, and services that answer HTTP."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Callable, Optional
from urllib.parse import urlsplit

from pilot.processes import APART

if TYPE_CHECKING:
    import http.client

#: More than any answer that is read here.
MAX_ANSWER = 4 * 1024 * 1024
#: Seconds for a command. Less than a probe may take, so that what is known without it is not lost with it.
COMMAND_SECONDS = 3.0
#: Seconds for each step of a request: a metadata service is near, and one that is not there may swallow packets.
FETCH_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What to ask a service of the machine's own network."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"


#: As many steps may a whole answer take: who sends a byte now and then is not waited for.
STEPS = 4

#: What a command prints; None where it is not there, fails, or takes too long.
Run = Callable[[Sequence[str]], Optional[str]]
#: What a service answers; None where it does not, or not with success.
Fetch = Callable[[Request], Optional[str]]


def run(words: Sequence[str], seconds: float = COMMAND_SECONDS) -> Optional[str]:
    """Run a command without input. Whatever it started ends with it."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            **APART,
        )
    except OSError:
        return None
    end = time.monotonic() + seconds
    assert process.stdout is not None  # noqa: S101 - asked for above
    with process.stdout as pipe:
        printed = _read(pipe, end)
        try:
            code = process.wait(max(0.0, end - time.monotonic())) if printed is not None else None
        except subprocess.TimeoutExpired:
            code = None
    _end_group(process)
    return printed.decode("utf-8", "replace") if printed is not None and code == 0 else None


def _read(pipe: IO[bytes], end: float) -> Optional[bytes]:
    """All that comes out of a pipe until it is closed, None when that takes too long or is too much."""
    os.set_blocking(pipe.fileno(), False)
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(found) <= MAX_ANSWER:
            left = end - time.monotonic()
            if left <= 0 or not selector.select(left):
                return None
            chunk = pipe.read(65536)
            if not chunk:
                return bytes(found)
            found += chunk
    return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # all of it has ended
    process.wait()


def fetch(request: Request, seconds: float = FETCH_SECONDS) -> Optional[str]:
    """Ask once, past any proxy: these services are this machine's own."""
    import http.client  # heavy, and most machines ask nobody

    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    try:
        parts = urlsplit(request.url)
        port = parts.port
    except ValueError:  # an address from the environment may be none at all
        return None
    if parts.scheme not in kinds or not parts.hostname:
        return None
    connection = kinds[parts.scheme](parts.hostname, port, timeout=seconds)
    end = time.monotonic() + STEPS * seconds
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request(request.method, target, headers=dict(request.headers))
        answer = connection.getresponse()
        body = _body(answer, end) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return body.decode("utf-8", "replace") if body is not None else None


def _body(answer: http.client.HTTPResponse, end: float) -> Optional[bytes]:
    """All of an answer, None when it takes too long or is too much."""
    found = bytearray()
    while len(found) <= MAX_ANSWER and time.monotonic() < end:
        chunk = answer.read1(65536)
        if not chunk:
            return bytes(found)
        found += chunk
    return None
