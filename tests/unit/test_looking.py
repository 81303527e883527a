"""Reading something anew for whoever asks."""

from __future__ import annotations

import asyncio

from central.looking import Looking


def test_those_who_ask_at_once_share_a_reading() -> None:
    """Each goes on with a reading that began after it asked, and there is no other at the same time."""
    began, running = [0], [0]
    gate = asyncio.Event()

    async def read() -> None:
        began[0] += 1
        running[0] += 1
        assert running[0] == 1
        await gate.wait()
        running[0] -= 1

    async def scene() -> None:
        looking = Looking()
        first = asyncio.create_task(looking.look(read))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(looking.look(read)) for _ in range(100)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *rest)
        assert began[0] == 2
        await looking.look(read)
        assert began[0] == 3

    asyncio.run(scene())


def test_a_reading_that_fails_is_made_again_for_the_next() -> None:
    """Only who has caused it hears of the failure; who waited has a reading of its own."""
    outcomes = [OSError("away"), None]

    async def read() -> None:
        await asyncio.sleep(0)
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    async def scene() -> None:
        looking = Looking()
        first, second = await asyncio.gather(looking.look(read), looking.look(read), return_exceptions=True)
        assert isinstance(first, OSError)
        assert second is None

    asyncio.run(scene())
    assert not outcomes
