"""Blocking work in one thread, beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from central.keeping.scribe import Scribe


def test_work_is_done_in_order_and_what_comes_meanwhile_shares_a_hop() -> None:
    """However many ask, one thread does it in the order in which they asked, and each gets its own answer."""

    async def story() -> None:
        scribe, done, go = Scribe("test"), [], threading.Event()

        def work(number: int) -> int:
            go.wait(10)
            done.append((number, threading.current_thread().name))
            return -number

        futures = [scribe.do(lambda number=number: work(number)) for number in range(100)]  # type: ignore[misc]
        go.set()
        assert await asyncio.gather(*futures) == [-number for number in range(100)]
        assert [number for number, _ in done] == list(range(100))
        assert {name for _, name in done} == {"test_0"}

    asyncio.run(story())


def test_what_fails_is_raised_to_the_one_who_waits() -> None:
    """An error ends the work that it came from, and no other."""

    def fail() -> None:
        raise OSError("the disk is gone")

    async def story() -> None:
        scribe = Scribe("test")
        bad, good = scribe.do(fail), scribe.do(lambda: 7)
        with pytest.raises(OSError, match="the disk is gone"):
            await bad
        assert await good == 7

    asyncio.run(story())


def test_work_is_done_although_nobody_waits_any_more() -> None:
    """Who gave up waiting undoes nothing, and what comes after is done after it."""

    async def story() -> None:
        scribe, done = Scribe("test"), []
        scribe.do(lambda: done.append(1)).cancel()
        await scribe.do(lambda: done.append(2))
        assert done == [1, 2]

    asyncio.run(story())
