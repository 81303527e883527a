"""What the agent and the process of a step say to each other: one task, one answer, each a line of JSON."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, TypeVar

from pilot import codec
from pilot.errors import InvalidInput, TransportError
from pilot.protocol import Fact, Settings
from pilot.standard import CommandRecord

#: Bytes of a message: settings, facts and an environment.
MAX_LINE = 4 * 1024 * 1024
_BLOCK = 64 * 1024
T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """What a command may know: `commands.context.Context` without its ports."""

    stamp: str
    site: str
    queue: str
    work: str
    settings: Settings
    command: str
    communities: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    agent: int = 1
    agents: int = 1
    options: dict[str, dict[str, str]] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    provided: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """What a step's process is to do: look at commands, or run one."""

    names: tuple[str, ...]
    bundles: tuple[str, ...] = ()  # paths of archives, verified
    user: Optional[tuple[int, int]] = None  # user and group to become; None: stay
    snapshot: Optional[Snapshot] = None  # for the one command that is to run


@dataclass(frozen=True)
class Looked:
    """The commands as they were imported, and why some could not be."""

    commands: tuple[CommandRecord, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What became of the context: all of the environment, and the facts that are new."""

    outcome: Literal["ok", "unfit", "failed"]
    message: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()


def send(end: socket.socket, record: Any) -> None:
    """Raises `TransportError` when nobody listens, `InvalidInput` for what is too long."""
    line = codec.pack(codec.encode(record)) + b"\n"
    if len(line) > MAX_LINE:
        raise InvalidInput("step", f"expected a message of at most {MAX_LINE} bytes, got {len(line)}")
    try:
        end.sendall(line)
    except OSError as error:
        raise TransportError(f"the other end does not listen: {error}") from error


class Hearing:
    """One line to come over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.kept = bytearray()
        self.closed = False

    def within(self, seconds: float) -> Optional[bytes]:
        """The line, once it is whole; None while it is not. `closed` says that no more will come."""
        until = time.monotonic() + seconds
        while not self.closed:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.end.settimeout(left)
            try:
                block = self.end.recv(_BLOCK)
            except socket.timeout:
                return None
            except OSError:
                block = b""
            if not block:
                self.closed = True
                break
            self.kept += block
            if b"\n" in block:
                return bytes(self.kept.partition(b"\n")[0])
            if len(self.kept) > MAX_LINE:
                raise InvalidInput("step", f"expected a message of at most {MAX_LINE} bytes")
        return None


def understood(kind: type[T], line: bytes) -> T:
    """The record on a line. Raises `InvalidInput`."""
    try:
        return codec.loads(kind, line)
    except InvalidInput as problem:
        raise InvalidInput("step", f"what its process answered is no answer: {problem}") from problem
