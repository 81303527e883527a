"""The port of a computer on which the programs of a batch system are run: this one, or one that is reached by SSH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from central.elements.port import ComputingError, Trouble

#: Bytes that a program may print; more is an answer that cannot be used. Lists of our own jobs have a thousand for each
#: at most, and PBS, which lists everybody's, has three: this is for a hundred thousand pilots, or forty thousand jobs.
MOST_PRINTED = 128 * 1024 * 1024
#: Parts of an answer in JSON or XML, and its texts and numbers. Millions of empty ones fit into few bytes, and nothing
#: else would happen while they are read; a hundred thousand jobs have fewer.
MOST_PARTS, MOST_VALUES = 2_000_000, 20_000_000
#: Seconds that a program may take.
PATIENCE = 60.0


@dataclass(frozen=True)
class Ran:
    """A program that ran to its end. `code` is negative where a signal ended it."""

    code: int
    output: bytes
    errors: bytes

    @property
    def text(self) -> str:
        """What it printed."""
        return self.output.decode("utf-8", "replace")

    @property
    def told(self) -> str:
        """What it printed, and what it complained of."""
        return (self.output + b"\n" + self.errors).decode("utf-8", "replace")

    @property
    def said(self) -> str:
        """What it complained of, in a line or a few."""
        return (self.errors.strip() or self.output.strip())[-2000:].decode("utf-8", "replace") or f"code {self.code}"


class Host(Protocol):
    """Runs programs by argument lists; no shell reads what it is given."""

    @property
    def name(self) -> str:
        """As sentences call it: `this host`, or its name."""

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        """Run a program to its end, whatever its code. Raises `ComputingError`: unreachable when the host does not
        answer, or the program takes too long (it is ended) or prints too much; refused when there is no such program;
        credential when the host does not let us in, or is not the one that we know by that name."""

    async def close(self) -> None: ...


class Readable(Protocol):
    """What a program prints, as it comes; nothing at its end."""

    async def read(self, n: int = -1, /) -> bytes: ...


async def bounded(stream: Readable | None) -> bytes:
    """All that a program prints. Raises `ComputingError` where that is too much."""
    content = bytearray()
    while stream and (block := await stream.read(65_536)):
        content += block
        if len(content) > MOST_PRINTED:
            raise ComputingError(f"a program printed more than {MOST_PRINTED} bytes", Trouble.UNREACHABLE)
    return bytes(content)


def crowded(content: bytes) -> bool:
    """Whether JSON or XML has more in it than can be read in a few seconds."""
    parts = content.count(b"{") + content.count(b"[")
    return parts > MOST_PARTS or content.count(b"<") > 2 * MOST_PARTS or content.count(b",") > MOST_VALUES
