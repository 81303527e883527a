"""A host that is reached by SSH, as a computer on which the programs of a batch system are run.

The programs of all queues that reach it in the same way share one connection, which is made when it is needed, and anew
when it broke.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from functools import partial

from central.configuration.elements import Ssh
from central.elements.connections import Connections, NoSession, Shared
from central.elements.host import PATIENCE, Ran
from central.elements.port import ComputingError, Trouble
from central.elements.ssh_connection import connect

#: How a shell says that there is no such program, or that it is none.
NO_PROGRAM = (126, 127)


class SshHost:
    """Runs programs as a user of a host that is reached by SSH, perhaps through another.

    `environment` is that of the programs; None for `connections`: this one shares its connection with no other.
    """

    def __init__(
        self,
        settings: Ssh,
        environment: Mapping[str, str],
        patience: float = PATIENCE,
        connections: Connections | None = None,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.patience = patience
        self._connections = connections or Connections()
        self._shared: Shared | None = None  # from the first program until it is closed

    @property
    def name(self) -> str:
        return self.settings.host

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        words = ["env", *(f"{name}={value}" for name, value in self.environment.items())] if self.environment else []
        line = command([*words, *argv])
        if not self._shared:
            self._shared = self._connections.take(self.settings, partial(connect, self.settings))
        try:
            async with asyncio.timeout(self.patience):
                ran = await self._shared.run(line, stdin, self.patience)
        except TimeoutError:
            raise ComputingError(
                f"{argv[0]} did not end within {self.patience:g} s on {self.name}", Trouble.UNREACHABLE
            ) from None
        except NoSession as error:
            raise ComputingError(
                f"{self.name} lets us in, but does not start {argv[0]}: {error}; see that its SSH server gives"
                " each connection a few sessions (MaxSessions)",
                Trouble.UNREACHABLE,
            ) from error
        except OSError as error:
            raise ComputingError(
                f"the connection to {self.name} broke while {argv[0]} ran there: {error.strerror or error}",
                Trouble.UNREACHABLE,
            ) from error
        if ran.code in NO_PROGRAM:
            raise ComputingError(f"{argv[0]} cannot be run on {self.name}: {ran.said}", Trouble.REFUSED)
        return ran

    async def close(self) -> None:
        if self._shared:
            self._shared = None
            await self._connections.leave(self.settings)


def command(words: Sequence[str]) -> str:
    """One line by which any shell of a user runs a program with exactly these words.

    Quotes mean the same to all of them, but for three characters in between: newlines and exclamation marks to csh,
    backslashes to fish. A line with one of these is read by a shell that we know.
    """
    line = shlex.join(words)
    for character, escaped in (("\\", r"\0134"), ("\n", r"\0012"), ("!", r"\0041")):
        line = line.replace(character, escaped)
    return line if "\\" not in line else shlex.join(["sh", "-c", 'eval "$(printf %b "$1")"', "sh", line])
