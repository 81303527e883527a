"""Several processes that serve one folder side by side: started, started again when one dies, ended together.

They share the port, among whose listeners the kernel spreads connections, and the database, through which they are
correct; this process, which has the folder's lock, answers nothing itself. Each holds one end of a pipe whose other end
closes with this process, however it ends: then they end as well. Through another pipe each shows again and again that
its loop turns: one that hangs is killed, since the kernel goes on to give it connections that nobody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence

from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Seconds until one that has died is started again: doubled each time it does not last.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
#: Seconds after which one is taken to have lasted.
LASTED = 60.0
#: Seconds that they get to end.
PATIENCE = 30.0
#: Seconds between two signs of life of a worker, and without any until it is taken to hang.
SIGN, HUNG = 5.0, 60.0
#: Seconds that one may take until it serves.
BEGIN = 120.0
#: We look so often before we believe it: when this process itself did not run, signs may be waiting to be read.
LOOKS = 6


def command(*arguments: str) -> Sequence[str]:
    """Python with these arguments, started as this process was."""
    given = sys.orig_argv[1:]
    program = given[: given.index("serve")] if "serve" in given else ["-P", "-m", "central"]
    return (sys.executable, *program, *arguments)


class Workers:
    """So many processes; `start` gives the command line of each, `ready` is called once when all of them serve.

    What each prints is for us: its first line says that it serves, every other that it lives. `told` is what each
    finds on its standard input: what no command line and no environment may show.
    """

    def __init__(
        self,
        count: int,
        start: Callable[[int], Sequence[str]],
        ready: Callable[[], None],
        hung: float = HUNG,
        begin: float = BEGIN,
        told: bytes = b"",
    ) -> None:
        self._count = count
        self._start = start
        self._ready = ready
        self._hung = hung
        self._begin = begin
        self._told = told
        self._processes: dict[int, Process] = {}
        self._serving: set[int] = set()
        self._served = False  # all of them, once
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Keep them until SIGTERM or SIGINT. Raises `PilotageError` when they cannot begin, or one ends badly."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        keeping = [asyncio.create_task(self._keep(number)) for number in range(1, self._count + 1)]
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((stopping, *keeping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._stop.set()
        self._signal(signal.SIGTERM)
        _, late = await asyncio.wait(keeping, timeout=PATIENCE)
        if late:
            log.error("%d workers do not end and are killed", len(late))
            self._signal(signal.SIGKILL)
        ended = await asyncio.gather(*keeping, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
        log.info("Stopped")

    async def _keep(self, number: int) -> None:
        """Keep one of them at work."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            began = loop.time()
            code = await self._once(number)
            if self._stop.is_set():
                if code not in (0, -signal.SIGTERM):
                    raise PilotageError(f"worker {number} ended with code {code}; the log says why")
                return
            if not self._served:
                raise PilotageError(f"worker {number} ended with code {code} before it served; the log says why")
            pause = FIRST_PAUSE if loop.time() - began > LASTED else min(2 * pause, LONGEST_PAUSE)
            log.error("Worker %d ended with code %s; another is started in %.1f s", number, code, pause)
            try:
                await asyncio.wait_for(self._stop.wait(), pause)
            except TimeoutError:
                pass

    async def _once(self, number: int) -> int:
        """Start one, and wait for its end. Returns its exit code."""
        process = await asyncio.create_subprocess_exec(*self._start(number), stdin=PIPE, stdout=PIPE)
        self._processes[number] = process
        try:
            if process.stdin and self._told:
                process.stdin.write(self._told)
            if self._stop.is_set():
                process.terminate()
            if (signs := process.stdout) and await self._begins(number, signs):
                self._serves(number)
                if await self._falls_silent(signs):
                    log.error("Worker %d hangs: no sign of life for %.0f s; it is killed", number, self._hung)
                    process.kill()
            return await process.wait()
        finally:
            del self._processes[number]
            self._serving.discard(number)

    async def _begins(self, number: int, signs: asyncio.StreamReader) -> bool:
        """Wait for the first line; one that never comes to it is killed."""
        try:
            return bool(await asyncio.wait_for(signs.readline(), self._begin))
        except TimeoutError:
            log.error("Worker %d does not serve after %.0f s; it is killed", number, self._begin)
            self._processes[number].kill()
            return False

    async def _falls_silent(self, signs: asyncio.StreamReader) -> bool:
        """Read signs of life until they end, which is the end of the worker, or none has come for too long."""
        quiet = 0
        while quiet < LOOKS:
            try:
                if not await asyncio.wait_for(signs.readline(), self._hung / LOOKS):
                    return False
                quiet = 0
            except TimeoutError:
                quiet += 1
        return True

    def _serves(self, number: int) -> None:
        self._serving.add(number)
        log.info("Worker %d serves", number, extra={"fields": {"process": self._processes[number].pid}})
        if len(self._serving) == self._count and not self._served:
            self._served = True
            self._ready()

    def _signal(self, number: int) -> None:
        for process in self._processes.values():
            try:
                process.send_signal(number)
            except ProcessLookupError:
                pass


def end_with_parent(stop: Callable[[], None]) -> None:
    """In a worker: call this when the process that started it is gone, which closes the pipe that is standard input."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            stop()

    loop.add_reader(0, look)


async def show_life() -> None:
    """In a worker: tell the process that started it, again and again, that the loop turns."""
    os.set_blocking(1, False)  # when nobody reads, this must not be what hangs
    while True:
        await asyncio.sleep(SIGN)
        with contextlib.suppress(BlockingIOError):
            os.write(1, b"alive\n")
