"""Communities that have had more than their share of a cloud give way to others: once in a while, for each account."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from central.configuration.settings import Queue
from central.configuration.settings_clouds import account
from central.directors.board import Board, Wait
from central.directors.choosing import Door
from central.directors.following import Drain
from central.directors.yielding import Party, Seat, yielding
from central.records import PilotRow
from central.store.port import Store
from pilot.states import PilotState
from pilot.use import ShareView

log = logging.getLogger(__name__)

#: Seconds between two looks.
INTERVAL = 60.0
_WHY = "its community has had more than its share, and others wait for the account's room"
#: Cores: room without a bound.
_ROOMY = 10**9


class GivingWay:
    """Has machines drain whose community is over its share where another waits and its account has no room.

    `waiting`: jobs that fit a queue; `shares`: how they stand; `idle_cores`: free on pilots with these stamps.
    """

    def __init__(
        self,
        store: Store,
        board: Board,
        queues: Callable[[], Sequence[Queue]],
        *,
        waiting: Callable[[Queue], Awaitable[Sequence[Wait]]],
        shares: Callable[[], Awaitable[Sequence[ShareView]]],
        idle_cores: Callable[[Sequence[str]], int],
        drain: Drain,
    ) -> None:
        self.store = store
        self.board = board
        self.queues = queues
        self.waiting = waiting
        self.shares = shares
        self.idle_cores = idle_cores
        self.drain = drain

    async def turn(self, epoch: int) -> None:
        """Look at each account. What it orders is the same whoever leads: `epoch` does not matter."""
        accounts = defaultdict[tuple[object, ...], list[Queue]](list)
        for queue in self.queues():
            if queue.cloud:
                accounts[account(queue)].append(queue)
        for queues in accounts.values():
            if len({queue.communities for queue in queues}) > 1:
                await self._look(queues)

    async def _look(self, queues: Sequence[Queue]) -> None:
        doors = {door.queue: door for door, _ in self.board.doors(await self.store.now())}
        if any(queue.name not in doors for queue in queues):
            return  # their directors have not looked yet
        rows = [(queue, row) for queue in queues for row in await self.store.live_pilots(queue.name)]
        room = min(sum(doors[queue.name].takes for queue in queues), _ROOMY)
        leaving = sum(_to_come(queue, row) for queue, row in rows)
        seats = {
            row.stamp: self._seat(row, queue, doors[queue.name])
            for queue, row in rows
            if row.state is PilotState.RUNNING and not row.draining
        }
        known = {row.stamp: row for _, row in rows}
        for stamp in yielding(list(seats.values()), await self._parties(queues), int(room), leaving):
            log.info("Pilot %s drains: %s", stamp, _WHY)
            await self.drain(known[stamp], _WHY)

    async def _parties(self, queues: Sequence[Queue]) -> dict[str, Party]:
        """The communities that have a queue of their own in the account."""
        waiting = defaultdict[str, dict[int, float]](dict)  # community → task queue → cores
        for queue in queues:
            if len(queue.communities) == 1:
                found = {one.task: one.jobs * one.cores for one in await self.waiting(queue)}
                waiting[queue.communities[0]].update(found)
        return {
            view.community: Party(view.due, view.part, int(sum(waiting[view.community].values())))
            for view in await self.shares()
            if not view.group and not view.owner and view.community in waiting
        }

    def _seat(self, row: PilotRow, queue: Queue, door: Door) -> Seat:
        community = row.communities[0] if len(row.communities) == 1 else ""
        busy = max(0, queue.cores - self.idle_cores([row.stamp]))
        return Seat(row.stamp, community, queue.cores, busy, door.core_hour)


def _to_come(queue: Queue, row: PilotRow) -> int:
    """Cores of a machine that makes room already, or has not come yet."""
    return queue.cores if row.draining or row.enrolled is None else 0
