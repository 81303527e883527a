"""Communities that have had more than their share of a cloud give way to others: once in a while, for each account."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from central import aftermath
from central.app import Central
from central.configuration.expected import expected
from central.configuration.settings import Queue
from central.directors.board import Board
from central.directors.choosing import Door
from central.directors.waiting import waits
from central.directors.yielding import Party, Seat, yielding
from central.matching.share_views import standing
from central.records import PilotRow
from pilot.states import PilotState

log = logging.getLogger(__name__)

#: Seconds between two looks.
INTERVAL = 60.0
_WHY = "its community has had more than its share, and others wait for the account's room"


class GivingWay:
    """Has machines drain whose community is over its share where another waits and its account has no room."""

    def __init__(self, central: Central, board: Board) -> None:
        self._central = central
        self._board = board

    async def turn(self, epoch: int) -> None:
        """Look at each account. What it orders is the same whoever leads: `epoch` does not matter."""
        accounts = defaultdict[tuple[object, ...], list[Queue]](list)
        for queue in self._central.settings.queues:
            if queue.cloud:
                accounts[queue.kind, queue.cloud.url, queue.cloud.region, queue.credential].append(queue)
        for queues in accounts.values():
            if len({queue.communities for queue in queues}) > 1:
                await self._look(queues)

    async def _look(self, queues: Sequence[Queue]) -> None:
        central, now = self._central, await self._central.store.now()
        doors = {door.queue: door for door, _ in self._board.doors(now)}
        if any(queue.name not in doors for queue in queues):
            return  # their directors have not looked yet
        rows = {queue.name: await central.store.live_pilots(queue.name) for queue in queues}
        room = sum(doors[queue.name].takes + _leaving(queue, rows[queue.name]) for queue in queues)
        parties = await self._parties(queues)
        seats = [
            self._seat(row, queue, doors[queue.name])
            for queue in queues
            for row in rows[queue.name]
            if row.state is PilotState.RUNNING and not row.draining
        ]
        known = {row.stamp: row for live in rows.values() for row in live}
        for stamp in yielding(seats, parties, int(min(room, 1e9))):
            log.info("Pilot %s drains: %s", stamp, _WHY)
            await aftermath.drained(central, known[stamp], _WHY)

    async def _parties(self, queues: Sequence[Queue]) -> dict[str, Party]:
        """The communities that have a queue of their own in the account."""
        central = self._central
        uses = await central.store.limits() if central.settings.limits else ()
        waiting = defaultdict[str, dict[int, float]](dict)  # community → task queue → cores
        for queue in queues:
            if len(queue.communities) == 1:
                offer = expected(queue)
                found = waits(central.dispatcher.queues.fitting(offer), offer, uses)
                waiting[queue.communities[0]].update({one.task: one.jobs * one.cores for one in found})
        settings = central.settings
        shares = standing(settings.communities, await central.store.consumed(settings.shares.half_life))
        return {
            view.community: Party(view.due, view.part, int(sum(waiting[view.community].values())))
            for view in shares
            if not view.group and not view.owner and view.community in waiting
        }

    def _seat(self, row: PilotRow, queue: Queue, door: Door) -> Seat:
        community = row.communities[0] if len(row.communities) == 1 else ""
        busy = max(0, queue.cores - self._central.presence.idle_cores([row.stamp]))
        return Seat(row.stamp, community, queue.cores, busy, door.core_hour)


def _leaving(queue: Queue, rows: Sequence[PilotRow]) -> int:
    """Cores of machines that will not take a job any more, or have not come yet."""
    return queue.cores * sum(row.draining or row.enrolled is None for row in rows)
