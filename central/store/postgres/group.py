"""Group commit: calls of one verb that come while a batch is under way are the next batch, one transaction together.

Nothing waits for company: when no batch is under way a call is done at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from pilot.errors import Refusal

Call = TypeVar("Call")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

#: Calls that share a transaction at most, and calls that may wait before the next is refused.
BATCH = 256
QUEUED = 10_000


class Group(Generic[Call, Answer]):
    """The calls of one verb. `work` does a batch and gives an answer, or a refusal, for each of its calls."""

    def __init__(self, work: Callable[[Sequence[Call]], Awaitable[Sequence[Answer | BaseException]]]) -> None:
        self._work = work
        self._waiting: deque[tuple[Call, asyncio.Future[Answer]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def ask(self, call: Call) -> Answer:
        """The answer to this call, once it is durable."""
        if len(self._waiting) >= QUEUED:
            raise Refusal("busy", f"{QUEUED:,} requests wait for the central's database.", retry_after=1.0)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((call, future))
        if self._task is None:
            self._task = loop.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._do([self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))])
        finally:
            self._task = None

    async def _do(self, batch: Sequence[tuple[Call, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._work([call for call, _ in batch])
        except Exception as error:  # noqa: BLE001 - everybody in the batch is told; the next one must go on
            if len(batch) == 1 or (isinstance(error, Refusal) and error.transient):
                for _, future in batch:
                    _settle(future, error)
                return
            log.info("a batch of %d failed (%s): each of its calls is done by itself", len(batch), error)
            for one in batch:
                await self._do([one])
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                _settle(future, answer)


def _settle(future: asyncio.Future[Answer], answer: Answer | BaseException) -> None:
    if future.done():  # cancelled by a caller who went away; what it asked for is done all the same
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
