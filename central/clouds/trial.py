"""A cloud as it is asked in the tests of its contract: which machines are started, and patience."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Self, TypeVar

import pytest

from central.clouds.port import CloudProvider, Intent, Machine, State
from central.elements.port import ComputingError, Trouble

T = TypeVar("T")

#: The marks of two installations in one account, and the queue whose machines are started.
OURS, THEIRS = secrets.token_hex(4), secrets.token_hex(4)
QUEUE = "queue-of-tests"
#: In a comment of the user-data of every machine.
SECRET = secrets.token_urlsafe(24)
_OVER = (State.STOPPED, State.FAILED, State.DELETING)


class Trial:
    """Asks an adapter, one thing after another, and keeps what it was given. As a context, it leaves nothing behind."""

    def __init__(
        self,
        fresh: Callable[[str], CloudProvider],
        intent: Intent,  # of every machine, but for its stamp
        patience: float,
        pause: float,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self.fresh = fresh
        self.intent = replace(intent, user_data=intent.user_data + f"# {SECRET}\n".encode())
        self.patience = patience
        self.pause = pause
        self.clock = clock
        self.sleep = sleep
        self.ids: dict[str, str] = {}  # by stamp
        self.stamps: set[str] = set()  # all that machines may have been started with
        self.nothing_yet: Sequence[Machine] = ()  # the list before anything was started
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self.provider = self.fresh(OURS)
        self.nothing_yet = self.listing()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._clean()
        finally:
            self.call(self.provider.close())
            self._runner.close()

    def call(self, asked: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer."""
        return self._runner.run(asked)

    def trouble(self, asked: Coroutine[Any, Any, object]) -> Trouble:
        """The trouble that something is answered with; anything else is a failure."""
        with pytest.raises(ComputingError) as caught:
            self.call(asked)
        assert str(caught.value), "expected a sentence that says why"
        return caught.value.trouble

    def refused(self, intent: Intent) -> Trouble:
        """The trouble that a creation is answered with."""
        return self.trouble(self.provider.create(intent))

    @contextmanager
    def other(self, central: str) -> Iterator[CloudProvider]:
        """A second adapter, which knows nothing, of the installation with this mark."""
        provider = self.fresh(central)
        try:
            yield provider
        finally:
            self.call(provider.close())

    def stamp(self) -> str:
        stamp = secrets.token_hex(16)
        self.stamps.add(stamp)
        return stamp

    def start(self, count: int, spot: bool = False) -> Sequence[str]:
        """Start so many machines at once, all of which must be taken. Returns their stamps."""
        stamps = [self.stamp() for _ in range(count)]
        self.ids.update(self.call(self._started(stamps, spot)))
        return stamps

    async def _started(self, stamps: Sequence[str], spot: bool) -> Mapping[str, str]:
        intents = [replace(self.intent, stamp=stamp, spot=spot) for stamp in stamps]
        return dict(zip(stamps, await asyncio.gather(*map(self.provider.create, intents)), strict=True))

    def listing(self) -> Sequence[Machine]:
        return self.call(self.provider.machines())

    def until(self, what: str, wanted: Callable[[Mapping[str, Machine]], bool]) -> Mapping[str, Machine]:
        """Ask for the list until it is as wanted, and return it by stamp."""
        end = self.clock() + self.patience + self.provider.lag
        while not wanted(listed := {one.stamp: one for one in self.listing()}):
            assert self.clock() < end, f"waited {self.patience:g} s until {what}, and still there is {listed}"
            self.sleep(self.pause)
        return listed

    def _clean(self) -> None:
        """Delete what was started, also where an answer was lost."""
        listed = {one.stamp: one.id for one in self.listing() if one.stamp in self.stamps}
        for id in {*self.ids.values(), *listed.values()}:
            with suppress(ComputingError):
                self.call(self.provider.delete(id))
        self.until(
            "all is gone",
            lambda listed: all(listed[stamp].state in _OVER for stamp in self.stamps & listed.keys()),
        )
