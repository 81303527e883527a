"""Blocks of a task that something outside may end early, at no cost while nothing does: no task, no future, a timer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Interruptible:
    """A block of the task that enters it. After `interrupt` it is left quietly, and `interrupted` tells so behind it.

    As with `asyncio.timeout`, a cancellation by somebody else stays one.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._over = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever awaits runs in a task
        self._task = task
        self._cancelling = task.cancelling()
        return self

    def interrupt(self) -> None:
        """End the block now; from outside of its task."""
        if not self._over and not self.interrupted:
            self.interrupted = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._over = True
        if not self.interrupted:
            return False
        return self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
