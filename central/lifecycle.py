"""Starting the parts of a central in order, and ending them so that nothing answered is lost."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from central import aftermath
from central.app import Central
from central.directors.assembly import DUTY, cycles
from central.duties import Duties, DutyDied, Times
from central.records import Swept

log = logging.getLogger(__name__)


@asynccontextmanager
async def running(central: Central) -> AsyncIterator[None]:
    """The central, for as long as the block lasts."""
    await central.store.open()
    try:
        await central.orders.start()
        await central.sandboxes.start()
        await central.dispatcher.start()
        central.background(_work(central, duties(central)))
        yield
    finally:
        central.closing.set()
        await _end(central.tasks)
        await central.presence.flush(central.store)
        await central.store.close()


def duties(central: Central) -> Duties:
    """The background work of this central. Raises `PilotageError` when a director cannot begin."""
    service = central.settings.service

    def swept(found: Swept) -> None:
        aftermath.swept(central, found)

    return Duties(
        central.store,
        central.presence,
        central.dispatcher,
        central.clock,
        duty=DUTY,
        holder=f"{socket.gethostname()}:{central.folder.path.resolve()}",
        times=Times(beat=service.beat, silent_after=service.silent_after, sweep=min(5.0, service.beat)),
        cycles=cycles(central),
        swept=swept,
    )


async def _work(central: Central, duties: Duties) -> None:
    try:
        await duties.run(central.closing)
    except DutyDied:
        central.failed.set()


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel what runs in the background and wait for it."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
