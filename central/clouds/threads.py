"""Threads for client libraries that block: each thread has a client of its own, since few of them may be shared.

Whoever asks goes on when its time is up, whatever the library does; the thread that hangs is then left to itself, and
another takes its place. So many may hang and no more: after that nothing is asked until one of them has come back. Each
adapter has threads of its own, so that nobody waits for another's. They do not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from central.elements.port import ComputingError, Trouble

Client = TypeVar("Client")
Answer = TypeVar("Answer")

#: Calls of one adapter that run side by side.
AT_A_TIME = 4
#: Threads of one adapter that may hang.
HANGING = 8


@dataclass(frozen=True)
class _Call:
    """One thing to ask, and the future of whoever waits for it."""

    ask: Callable[[Any], Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def settle(self, value: object, error: BaseException | None) -> None:
        """From a thread: hand over what came of it, if there is still somebody to take it."""
        try:
            self.loop.call_soon_threadsafe(self._set, value, error)
        except RuntimeError:
            pass  # the loop has ended, and whoever waited with it

    def _set(self, value: object, error: BaseException | None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(value)
        else:
            self.answer.set_exception(error)


class _Worker(Generic[Client]):
    """One thread with its client, which is made in it when the first call comes."""

    def __init__(
        self, make: Callable[[], Client], let_go: Callable[[Client], object], name: str, over: Callable[[], None]
    ) -> None:
        self.make = make
        self.let_go = let_go
        self.over = over  # told, in this thread, that it has ended
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def take(self, call: _Call) -> None:
        self._calls.put(call)

    def end(self) -> None:
        """When what it is doing is over."""
        self._calls.put(None)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _work(self) -> None:
        client: Client | None = None
        while call := self._calls.get():
            value: object = None
            problem: BaseException | None = None
            try:
                if client is None:
                    client = self.make()
                value = call.ask(client)
            except StopIteration as error:  # no future takes one
                problem = RuntimeError(f"its client library raised {error!r}")
            except BaseException as error:  # noqa: BLE001 it is raised again where it was waited for
                problem = error
            call.settle(value, problem)
            del call, value, problem  # a thread that waits holds on to no answer
        try:
            if client is not None:
                self.let_go(client)
        finally:
            self.over()


class Threads(Generic[Client]):
    """The threads of one adapter.

    `make` makes a client, in the thread that it is for, and may fail: then the next call tries again. `let_go` closes
    it. `whom` is what is asked, in messages.
    """

    def __init__(
        self,
        make: Callable[[], Client],
        let_go: Callable[[Client], object],
        whom: str,
        at_a_time: int = AT_A_TIME,
        hanging: int = HANGING,
    ) -> None:
        self.make = make
        self.let_go = let_go
        self.whom = whom
        self.at_a_time = at_a_time
        self.most_hanging = hanging
        self._room = asyncio.Semaphore(at_a_time)
        self._idle: list[_Worker[Client]] = []
        self._hanging = 0
        self._lock = threading.Lock()  # of the count of those that hang
        self._numbers = itertools.count(1)
        self._closed = False

    @property
    def hanging(self) -> int:
        """How many threads have been given up and have not come back."""
        with self._lock:
            return self._hanging

    async def call(self, ask: Callable[[Client], Answer], patience: float) -> Answer:
        """Ask in a thread, with its client; waiting for a thread is part of the patience (seconds).

        Raises what `ask` and `make` raise, and `ComputingError` (UNREACHABLE) when the time is up.
        """
        if self._closed:
            raise ComputingError(f"{self.whom} is not asked any more: this is being closed", Trouble.UNREACHABLE)
        if self.hanging >= self.most_hanging:
            raise ComputingError(
                f"{self.whom} is not asked: {self.hanging} requests to it hang and have not come back",
                Trouble.UNREACHABLE,
            )
        try:
            async with asyncio.timeout(patience), self._room:
                return await self._asked(ask)
        except TimeoutError:
            sentence = f"{self.whom} did not answer within {patience:g} s"
            raise ComputingError(sentence, Trouble.UNREACHABLE) from None

    async def _asked(self, ask: Callable[[Client], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        worker = self._idle.pop() if self._idle else self._started()
        worker.take(_Call(ask, answer, loop))
        try:
            await asyncio.wait([answer])
        finally:
            if answer.done():
                self._let_rest(worker)
            else:
                answer.cancel()
                self._give_up(worker)
        return _raised_anew(answer)

    def _started(self) -> _Worker[Client]:
        worker = _Worker(self.make, self.let_go, f"{self.whom} {next(self._numbers)}", lambda: None)
        worker.start()
        return worker

    def _let_rest(self, worker: _Worker[Client]) -> None:
        if self._closed:
            worker.end()
        else:
            self._idle.append(worker)

    def _give_up(self, worker: _Worker[Client]) -> None:
        with self._lock:
            self._hanging += 1
        worker.over = self._came_back
        worker.end()

    def _came_back(self) -> None:
        with self._lock:
            self._hanging -= 1

    async def close(self) -> None:
        """End the threads that rest; those that are at work end by themselves, and nobody waits for them."""
        self._closed = True
        resting, self._idle = self._idle, []
        for worker in resting:
            worker.end()
        for worker in resting:
            await asyncio.to_thread(worker.join, 1.0)


def _raised_anew(answer: asyncio.Future[Answer]) -> Answer:
    """A `TimeoutError` of the library is none of ours, and must not be taken for it."""
    error = answer.exception()
    if isinstance(error, TimeoutError):
        raise ComputingError(f"it did not answer in time: {error}", Trouble.UNREACHABLE) from error
    return answer.result()
