"""Group commit: which calls are one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from central.store.postgres.group import BATCH, Group

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Server:
    """Answers each batch when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._doors: list[asyncio.Event] = []

    async def work(self, calls: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(calls))
        self._doors.append(asyncio.Event())
        await self._doors[-1].wait()
        return [call * 10 for call in calls]

    def finish(self, batch: int) -> None:
        self._doors[batch].set()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_calls_that_come_together_are_one_batch() -> None:
    """Calls made at the same moment share a batch, and those that come meanwhile are the next one."""
    server = Server()
    group = Group(server.work)
    asked = [asyncio.create_task(group.ask(call)) for call in (1, 2)]
    await _turns()
    asked.append(asyncio.create_task(group.ask(3)))
    await _turns()
    assert server.batches == [[1, 2]]
    server.finish(0)
    await _turns()
    assert server.batches == [[1, 2], [3]]
    server.finish(1)
    assert await asyncio.gather(*asked) == [10, 20, 30]


async def test_a_batch_has_a_bound() -> None:
    """Of very many calls that wait the first are a batch, and the others the next."""
    server = Server()
    group = Group(server.work)
    asked = [asyncio.create_task(group.ask(call)) for call in range(BATCH + 1)]
    await _turns()
    server.finish(0)
    await _turns()
    assert server.batches == [list(range(BATCH)), [BATCH]]
    server.finish(1)
    assert await asyncio.gather(*asked) == [10 * call for call in range(BATCH + 1)]


async def test_a_group_that_was_idle_works_again() -> None:
    """After everything was answered the next call is done at once."""
    server = Server()
    group = Group(server.work)
    for number in range(3):
        asked = asyncio.create_task(group.ask(number))
        await _turns()
        server.finish(number)
        assert await asked == 10 * number
    assert server.batches == [[0], [1], [2]]
