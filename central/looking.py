"""Reading something anew for whoever asks: one reading at a time, shared by all who asked before it began."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Looking:
    """Whoever has asked goes on once a reading that began after that is over; a hundred who ask at once cause two."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._asked = 0
        self._read = 0  # the last of those who asked before the newest reading that is over

    async def look(self, read: Callable[[], Awaitable[None]]) -> None:
        """Read, or share what somebody reads. What the reading raises is raised to whoever has caused it."""
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._read < mine:
                asked = self._asked
                await read()
                self._read = asked
