"""What the computing element of one queue says when it is asked now, for a person who waits."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from central.app import Central
from central.configuration.settings import EXTERNAL, Queue
from central.directors.starting import cloud_of, element
from central.elements.port import ComputingElement, ComputingError, Listed, Trouble
from pilot.errors import PilotageError

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)

#: Seconds that a computing element may take: less than whoever asks waits for the central.
PATIENCE = 40.0


async def listing(central: Central, queue: Queue, patience: float = PATIENCE) -> Sequence[Listed]:
    """All of ours that it knows. Raises `ComputingError`, and `PilotageError` where there is no adapter for it."""
    return await _asked(central, queue, patience, lambda computing: computing.listing())


async def check(central: Central, queue: Queue) -> str:
    """Ask it something that changes nothing, and say what it answered. Raises as `listing`."""
    if queue.kind == EXTERNAL:
        return "nobody is to be asked: others start the pilots of an external queue"
    return await _asked(central, queue, PATIENCE, partial(_check, queue))


async def _check(queue: Queue, computing: ComputingElement) -> str:
    found = len(await computing.listing())  # first: its credential is taken up for that
    if cloud := cloud_of(computing):
        words = await cloud.check(queue.cores, queue.memory)
        return f"the cloud answers: {words}; it lists {_count(found, 'machine')} of this queue"
    return f"the computing element answers; it lists {_count(found, 'pilot')} of this queue"


async def _asked(
    central: Central, queue: Queue, patience: float, ask: Callable[[ComputingElement], Awaitable[Answer]]
) -> Answer:
    try:
        computing = await asyncio.wait_for(element(central, queue, secrets.token_hex(8)), patience)
        try:
            return await asyncio.wait_for(ask(computing), patience)
        finally:
            await computing.close()
    except TimeoutError as error:
        problem = f"the computing element of queue {queue.name} has not answered in {patience:g} s"
        raise ComputingError(problem, Trouble.UNREACHABLE) from error
    except PilotageError:
        raise
    except Exception as error:  # as for a director: other people's systems, through other people's libraries
        log.exception("The computing element of queue %s cannot be asked", queue.name)
        problem = (
            f"the computing element of queue {queue.name} cannot be asked ({error!r}); the central's log says more"
        )
        raise ComputingError(problem, Trouble.UNREACHABLE) from error


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
