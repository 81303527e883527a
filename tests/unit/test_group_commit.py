"""Group commit: which calls are one batch, and which batches are under way at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from central.store.postgres.group import LARGE, Group

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


async def test_a_second_lane_does_not_wait_for_the_first() -> None:
    """With two lanes a call that comes while one batch is under way is done at once, a third one waits for a lane."""
    server = Server()
    group = Group(server.work, lanes=2)
    asked = []
    for call in (1, 2, 3):
        asked.append(asyncio.create_task(group.ask(call)))
        await _turns()
    assert server.batches == [[1], [2]]
    server.finish(1)
    await _turns()
    assert server.batches == [[1], [2], [3]]
    server.finish(0)
    server.finish(2)
    assert await asyncio.gather(*asked) == [10, 20, 30]


@pytest.mark.parametrize("weight", [LARGE, 2 * LARGE])
async def test_much_work_is_divided(weight: int) -> None:
    """Calls that come together and are enough for several batches are divided among the lanes."""
    server = Server()
    group = Group(server.work, lanes=2, weight=lambda _: weight // 4)
    asked = [asyncio.create_task(group.ask(call)) for call in range(8)]
    await _turns()
    assert server.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]
    server.finish(0)
    server.finish(1)
    assert await asyncio.gather(*asked) == [10 * call for call in range(8)]


async def test_a_group_that_was_idle_works_again() -> None:
    """After all lanes have closed the next call opens one."""
    server = Server()
    group = Group(server.work, lanes=2)
    for number in range(3):
        asked = asyncio.create_task(group.ask(number))
        await _turns()
        server.finish(number)
        assert await asked == 10 * number
    assert server.batches == [[0], [1], [2]]
