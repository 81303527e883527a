"""Short blocking work, done in order by one thread: what comes while it is busy is done in one go.

A hop to a thread and back costs more than writing a few kilobytes; when many ask at once they share the hop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Errand(Generic[T]):
    work: Callable[[], T]
    future: asyncio.Future[T]


class Scribe:
    """One thread, started when there is something to do."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._due: deque[_Errand[Any]] = deque()
        self._busy = False
        self._lock = threading.Lock()

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have it done; the future gets what it returns or raises. It is done also when nobody waits any more."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._due.append(_Errand(work, future))
            begin = not self._busy
            self._busy = True
        if begin:
            self._executor.submit(self._run)
        return future

    def _run(self) -> None:
        while True:
            with self._lock:
                due = list(self._due)
                self._due.clear()
                self._busy = bool(due)
            if not due:
                return
            done: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
            for errand in due:
                done.setdefault(errand.future.get_loop(), []).append(_run(errand))
            for loop, results in done.items():
                try:
                    loop.call_soon_threadsafe(_tell, results)
                except RuntimeError:
                    pass  # the loop has ended, and with it those who waited


def _run(errand: _Errand[Any]) -> Callable[[], None]:
    """Do it. Returns what tells the one who waits."""
    future = errand.future
    try:
        result = errand.work()
    except Exception as error:  # noqa: BLE001 - raised where the work is waited for
        failure = error
        return lambda: None if future.done() else future.set_exception(failure)
    return lambda: None if future.done() else future.set_result(result)


def _tell(results: list[Callable[[], None]]) -> None:
    for tell in results:
        tell()
