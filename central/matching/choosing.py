"""What a match request is given as things stand: by shares, within limits, with room kept for wide jobs."""

from __future__ import annotations

from typing import Protocol

from central.clock import Clock
from central.matching.matcher import Free
from central.matching.reservations import PATIENCE, TURN, Reservation, Reservations, is_wide
from central.matching.task_queues import Choice, TaskQueues
from central.records import TaskQueue
from pilot.protocol import Offer

#: Queues that have waited too long which are looked at for one pilot.
STARVED = 100


class Asking(Protocol):
    """An agent that asks for jobs: its offer, and how many it wants at most."""

    @property
    def stamp(self) -> str: ...

    @property
    def agent(self) -> int: ...

    @property
    def offer(self) -> Offer: ...

    @property
    def most(self) -> int: ...

    @property
    def free(self) -> Free: ...


class Chooser:
    """Chooses from the task queues, and keeps room where narrow jobs would starve wide ones."""

    def __init__(self, queues: TaskQueues, reservations: Reservations, clock: Clock) -> None:
        self._queues = queues
        self._reservations = reservations
        self._clock = clock
        self._starved: tuple[TaskQueue, ...] = ()

    def choose(self, asking: Asking, *, tries: bool = True) -> Choice:
        """Reserve jobs. `tries`: limits that were full may be tried again."""
        now = self._clock.now()
        self._queues.advance(now)
        kept = self._kept(asking, now)
        if kept is None:
            return self._queues.choose(asking.offer, asking.most, tries=tries)
        choice = self._queues.choose(asking.offer, asking.most, kept=kept.queue.id, tries=tries)
        if choice.taken and choice.taken[0].queue == kept.queue.id:
            self._reservations.end(kept)
        return choice

    def look_around(self) -> None:
        """Find the queues that have waited too long; from time to time."""
        self._queues.advance(self._clock.now())
        self._starved = self._queues.starved(PATIENCE, STARVED)

    def _kept(self, asking: Asking, now: float) -> Reservation | None:
        """What the place is kept for, now or from now on."""
        free, where = asking.free, (asking.stamp, asking.agent)
        kept = self._reservations.at(*where, now)
        if kept is not None and self._queues.waits(kept.queue.id) and kept.queue.community in asking.offer.communities:
            self._reservations.seen(kept, free)
            return kept
        if kept is not None:
            self._reservations.end(kept)
        whole = self._reservations.whole(*where, free)
        if whole is None or not self._reservations.may_look(*where, now):
            return None
        queue = self._in_want(asking.offer, free, whole)
        return self._reservations.keep(*where, queue, free, now) if queue is not None else None

    def _in_want(self, offer: Offer, free: Free, whole: Free) -> TaskQueue | None:
        """The queue that this place should be kept for."""
        if lead := self._queues.lead(offer, whole):
            queue, seconds = lead
            if seconds >= TURN and not self._reserved_elsewhere(queue, free) and is_wide(queue.needs, free, whole):
                return queue
        for queue in self._starved:
            if (
                is_wide(queue.needs, free, whole)
                and self._queues.waits(queue.id)
                and self._queues.is_right(queue, offer)
                and not self._reserved_elsewhere(queue, free)
            ):
                return queue
        return None

    def _reserved_elsewhere(self, queue: TaskQueue, free: Free) -> bool:
        other = self._reservations.of_queue(queue.id, self._clock.now())
        return other is not None and other.free >= free.cores
