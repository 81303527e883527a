"""This host, as a computer on which the programs of a batch system are run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

from central.elements.host import PATIENCE, Ran, bounded
from central.elements.port import ComputingError, Trouble

#: What programs inherit; of the central's environment everything else stays here.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "TZ")


class Here:
    """Runs programs as the central's own user. `environment` is theirs beside the little that they inherit."""

    name = "this host"

    def __init__(self, environment: Mapping[str, str], patience: float = PATIENCE) -> None:
        self.environment = environment
        self.patience = patience

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env={**inherited, **self.environment},
                start_new_session=True,
            )
        except OSError as error:
            raise ComputingError(f"{argv[0]} cannot be run on this host: {error.strerror}", Trouble.REFUSED) from error
        try:
            async with asyncio.timeout(self.patience):
                output, errors, _ = await asyncio.gather(
                    bounded(process.stdout), bounded(process.stderr), _write(process.stdin, stdin)
                )
                code = await process.wait()
        except BaseException as error:  # also that nobody waits any more: whatever it is, the program must not stay
            await _end(process)
            if isinstance(error, TimeoutError):
                raise ComputingError(
                    f"{argv[0]} did not end within {self.patience:g} s on this host", Trouble.UNREACHABLE
                ) from None
            raise
        return Ran(code, output, errors)

    async def close(self) -> None:
        pass


async def _write(stream: asyncio.StreamWriter | None, content: bytes) -> None:
    if not stream or stream.is_closing():  # it has ended already
        return
    with suppress(BrokenPipeError, ConnectionResetError):  # it did not want to hear; its code says the rest
        stream.write(content)
        await stream.drain()
    stream.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing that it started stays, even where it has ended itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # What has left its group may hold its pipes, for as long as it lives, and asyncio waits for these too; there is no
    # public way to let go of them.
    transport = process._transport  # type: ignore[attr-defined]
    for number in range(3):
        if pipe := transport.get_pipe_transport(number):
            with suppress(AttributeError):  # of one that is gone by itself already: asyncio has emptied it
                pipe.abort() if number == 0 else pipe.close()
    await process.wait()
    transport.close()
