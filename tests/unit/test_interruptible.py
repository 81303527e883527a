"""Blocks of a task that end early when something outside says so."""

from __future__ import annotations

import asyncio

import pytest

from central.dispatching.interruptible import Interruptible


def test_a_block_that_is_interrupted_is_left_and_the_task_goes_on() -> None:
    """What the block waits for is cancelled; behind the block the task can wait again."""

    async def scenario() -> tuple[bool, bool]:
        never = asyncio.get_running_loop().create_future()
        with Interruptible() as block:
            asyncio.get_running_loop().call_soon(block.interrupt)
            await never
        await asyncio.sleep(0)
        return block.interrupted, never.cancelled()

    assert asyncio.run(scenario()) == (True, True)


def test_a_block_that_ends_by_itself_is_not_interrupted_any_more() -> None:
    """An interruption that comes late does nothing."""

    async def scenario() -> bool:
        with Interruptible() as block:
            await asyncio.sleep(0)
        block.interrupt()
        await asyncio.sleep(0)
        return block.interrupted

    assert not asyncio.run(scenario())


def test_a_cancellation_by_somebody_else_stays_one() -> None:
    """Who cancels the task ends it, also when the block is interrupted in the same moment."""

    async def blocked(interrupted_too: bool) -> None:
        with Interruptible() as block:
            if interrupted_too:
                asyncio.get_running_loop().call_soon(block.interrupt)
            await asyncio.get_running_loop().create_future()

    async def scenario(interrupted_too: bool) -> None:
        task = asyncio.create_task(blocked(interrupted_too))
        await asyncio.sleep(0)
        task.cancel()
        await task

    for interrupted_too in (False, True):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(scenario(interrupted_too))


def test_an_error_of_the_block_is_told() -> None:
    """An error that the block ends with while it is interrupted is not lost."""

    async def scenario() -> None:
        with Interruptible() as block:
            asyncio.get_running_loop().call_soon(block.interrupt)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                raise ValueError("while it ended")

    with pytest.raises(ValueError, match="while it ended"):
        asyncio.run(scenario())
