"""Threads for client libraries that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from central.clouds.threads import Threads
from central.elements.port import ComputingError, Trouble

T = TypeVar("T")
#: Seconds: long enough for anything that is to happen, and short enough for what is not.
ENOUGH, SHORT = 30.0, 0.05


class Client:
    """One that belongs to a thread."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.closed = threading.Event()


class Made:
    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.failures: list[Exception] = []

    def __call__(self) -> Client:
        if self.failures:
            raise self.failures.pop()
        self.clients.append(Client())
        return self.clients[-1]


def pool(made: Callable[[], Client], at_a_time: int = 2, hanging: int = 2) -> Threads[Client]:
    return Threads(made, lambda client: client.closed.set(), "the cloud", at_a_time, hanging)


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


def test_every_client_stays_in_the_thread_that_made_it() -> None:
    """Calls side by side have clients of their own, and those that follow use them again."""
    made = Made()

    async def story() -> None:
        threads = pool(made)
        both = threading.Barrier(2)

        def ask(client: Client) -> bool:
            both.wait(ENOUGH)
            return client.thread == threading.get_ident()

        for _ in range(3):
            assert await asyncio.gather(threads.call(ask, ENOUGH), threads.call(ask, ENOUGH)) == [True, True]
        await threads.close()

    run(story())
    assert len(made.clients) == 2
    assert all(client.closed.wait(ENOUGH) for client in made.clients)


def test_what_a_library_raises_is_raised_to_whoever_asked() -> None:
    """And the thread goes on to serve others; a `StopIteration`, which no future takes, comes as another error."""

    def end(client: Client) -> None:
        next(iter(()))

    async def story() -> None:
        threads = pool(Made(), at_a_time=1)
        with pytest.raises(ZeroDivisionError):
            await threads.call(lambda client: 1 // 0, ENOUGH)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.call(end, ENOUGH)
        assert await threads.call(lambda client: 7, ENOUGH) == 7
        await threads.close()

    run(story())


def test_a_client_that_could_not_be_made_is_made_by_the_next_call() -> None:
    """As after a credential that was not there yet."""
    made = Made()
    made.failures.append(ComputingError("no credential", Trouble.CREDENTIAL))

    async def story() -> None:
        threads = pool(made, at_a_time=1)
        with pytest.raises(ComputingError, match="no credential"):
            await threads.call(lambda client: client, ENOUGH)
        assert isinstance(await threads.call(lambda client: client, ENOUGH), Client)
        await threads.close()

    run(story())


def test_whoever_asks_goes_on_when_a_library_hangs() -> None:
    """The thread is lost, another takes its place, and when it comes back it lets go of its client and ends."""
    made, freed = Made(), threading.Event()

    async def story() -> None:
        threads = pool(made, at_a_time=1)
        with pytest.raises(ComputingError, match=r"did not answer within 0\.05 s") as caught:
            await threads.call(lambda client: freed.wait(ENOUGH), SHORT)
        assert caught.value.trouble is Trouble.UNREACHABLE
        assert threads.hanging == 1
        assert await threads.call(lambda client: 7, ENOUGH) == 7
        freed.set()
        assert await asyncio.to_thread(made.clients[0].closed.wait, ENOUGH)
        await threads.close()

    run(story())
    assert len(made.clients) == 2


def test_so_many_may_hang_and_no_more() -> None:
    """Then nothing is asked, and no thread is started, until one of them has come back."""
    made, freed = Made(), threading.Event()

    async def story() -> None:
        threads = pool(made, at_a_time=2, hanging=2)
        for _ in range(2):
            with pytest.raises(ComputingError, match="did not answer"):
                await threads.call(lambda client: freed.wait(ENOUGH), SHORT)
        with pytest.raises(ComputingError, match="2 requests to it hang") as caught:
            await threads.call(lambda client: 7, ENOUGH)
        assert caught.value.trouble is Trouble.UNREACHABLE
        freed.set()
        async with asyncio.timeout(ENOUGH):
            while threads.hanging:  # noqa: ASYNC110 a thread sets no event of asyncio
                await asyncio.sleep(0)
        assert await threads.call(lambda client: 7, ENOUGH) == 7
        await threads.close()

    run(story())
    assert len(made.clients) == 3


def test_waiting_for_a_thread_is_part_of_the_patience() -> None:
    """Whoever finds all threads at work is told in its time that there was no answer."""
    freed, begun = threading.Event(), threading.Event()

    async def story() -> None:
        threads = pool(Made(), at_a_time=1)
        first = asyncio.ensure_future(threads.call(lambda client: (begun.set(), freed.wait(ENOUGH)), ENOUGH))
        assert await asyncio.to_thread(begun.wait, ENOUGH)
        with pytest.raises(ComputingError, match="did not answer"):
            await threads.call(lambda client: 7, SHORT)
        assert threads.hanging == 0
        freed.set()
        await first
        await threads.close()

    run(story())


def test_another_adapter_waits_for_nobody() -> None:
    """Threads that hang are those of their own adapter."""
    freed = threading.Event()

    async def story() -> None:
        hangs, works = pool(Made(), at_a_time=1), pool(Made(), at_a_time=1)
        waiting = asyncio.ensure_future(hangs.call(lambda client: freed.wait(ENOUGH), ENOUGH))
        assert await works.call(lambda client: 7, ENOUGH) == 7
        assert not waiting.done()
        freed.set()
        await waiting
        await hangs.close()
        await works.close()

    run(story())


def test_whoever_is_told_to_stop_waiting_leaves_its_thread_behind() -> None:
    """A turn that is called off does not give its thread to the next one while it is still at work."""
    made, freed, begun = Made(), threading.Event(), threading.Event()

    async def story() -> None:
        threads = pool(made, at_a_time=1)
        task = asyncio.ensure_future(threads.call(lambda client: (begun.set(), freed.wait(ENOUGH)), ENOUGH))
        assert await asyncio.to_thread(begun.wait, ENOUGH)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await threads.call(lambda client: client, ENOUGH) is made.clients[1]
        freed.set()
        assert await asyncio.to_thread(made.clients[0].closed.wait, ENOUGH)
        await threads.close()

    run(story())


def test_what_is_closed_is_not_asked() -> None:
    """Its threads have let go of their clients."""
    made = Made()

    async def story() -> None:
        threads = pool(made)
        await threads.call(lambda client: 7, ENOUGH)
        await threads.close()
        assert made.clients[0].closed.is_set()
        with pytest.raises(ComputingError, match="closed"):
            await threads.call(lambda client: 7, ENOUGH)

    run(story())
