"""Group commit: calls of one verb that come while others are under way are the next batch, one transaction together.

Nothing waits for company: a call is done at once while fewer batches are under way than there may be. With two of them
this process works on the one while the server works on the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

from pilot.errors import Refusal

Call = TypeVar("Call")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

#: Calls that share a transaction at most, and calls that may wait before the next is refused.
BATCH = 256
QUEUED = 10_000
#: Work that is enough for a batch when another lane is free; of more each takes its part.
LARGE = 128


class Group(Generic[Call, Answer]):
    """The calls of one verb. `work` does a batch and gives an answer, or a refusal, for each of its calls.

    `lanes`: batches that may be under way at the same time. `weight` of a call: how much work it is.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Call]], Awaitable[Sequence[Answer | BaseException]]],
        lanes: int = 1,
        weight: Callable[[Call], int] = lambda _: 1,
    ) -> None:
        self._work = work
        self._lanes = lanes
        self._weight = weight
        self._waiting: deque[tuple[Call, asyncio.Future[Answer]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._called = False  # a lane was opened for what waits, and has not looked yet

    async def ask(self, call: Call) -> Answer:
        """The answer to this call, once it is durable."""
        if len(self._waiting) >= QUEUED:
            raise Refusal("busy", f"{QUEUED:,} requests wait for the central's database.", retry_after=1.0)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        self._open()
        return await future

    def _open(self) -> None:
        """Have what waits looked at, if one more batch may be under way."""
        if self._waiting and not self._called and len(self._tasks) < self._lanes:
            self._called = True
            self._tasks.add(asyncio.get_running_loop().create_task(self._serve()))

    async def _serve(self) -> None:
        self._called = False
        try:
            while batch := self._next():
                self._open()
                await self._do(batch)
        finally:
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next(self) -> list[tuple[Call, asyncio.Future[Answer]]]:
        """Those that came first, as many as make a batch. Callers that are answered together ask together again: were
        they not divided, one lane would have them all for ever."""
        batch: list[tuple[Call, asyncio.Future[Answer]]] = []
        lanes = 1 + self._lanes - len(self._tasks)  # this one, and those that nobody uses
        enough = max(LARGE, -(-sum(self._weight(call) for call, _ in self._waiting) // lanes))
        while self._waiting and len(batch) < BATCH and enough > 0:
            batch.append(self._waiting.popleft())
            enough -= self._weight(batch[-1][0])
        return batch

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
