"""Room kept for wide jobs, which would wait for ever while narrow ones take every core that becomes free.

A pilot is kept for a queue when a job of it would be next there, were the pilot empty, and none was given for `TURN`;
or when none was given for `PATIENCE`, whosever turn it is. What the job needs is then not offered to others, until it
fits. A queue has one pilot kept for it, an agent of a pilot is kept for one queue, and there are only so many at all.
Times come from the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from central.matching.matcher import Free, room
from central.records import TaskQueue
from pilot.protocol import Needs

#: Seconds without a job given, for a queue whose turn it is, and for any queue.
TURN = 60.0
PATIENCE = 600.0
#: Seconds that a pilot is kept at most; after that another may be nearer.
HOLD = 3600.0
#: Seconds between two looks at the same agent.
LOOK = 5.0
#: Reservations at the same time.
MOST = 200


@dataclass(frozen=True)
class Reservation:
    """An agent of a pilot, kept for a job of a queue until that time."""

    stamp: str
    agent: int
    queue: TaskQueue
    cores: int  # that are kept; 0: all of them
    free: int  # cores that were free there when it asked the last time
    until: float

    def __str__(self) -> str:
        cores = "all cores are" if not self.cores else "1 core is" if self.cores == 1 else f"{self.cores} cores are"
        return f"{cores} kept for a job of {self.queue.owner} that needs more room than is free"


@dataclass
class _Agent:
    epoch: int
    whole: Free
    looked: float = float("-inf")


class Reservations:
    """Which agents are kept for which queues, and the most that each ever offered."""

    def __init__(self) -> None:
        self._agents: dict[tuple[str, int], _Agent] = {}
        self._kept: dict[tuple[str, int], Reservation] = {}
        self._of_queue: dict[int, Reservation] = {}

    def __len__(self) -> int:
        return len(self._kept)

    # -- agents -----------------------------------------------------------------------------------------------------
    def offered(self, stamp: str, agent: int, epoch: int, free: Free) -> None:
        """An agent has so much free."""
        known = self._agents.get((stamp, agent))
        if known is None or known.epoch != epoch:
            self.end_at(stamp, agent)
            self._agents[stamp, agent] = _Agent(epoch, free.copy())
            return
        if not free.within(known.whole):
            known.whole = larger(known.whole, free)

    def whole(self, stamp: str, agent: int, free: Free) -> Free | None:
        """What the agent would have if nothing ran on it; None when that is no more than it has."""
        known = self._agents.get((stamp, agent))
        if known is None:
            return None
        most = known.whole
        whole = Free(most.cores, most.memory, most.disk, most.gpus, free.seconds, empty=True)
        return None if whole.within(free) else whole

    def may_look(self, stamp: str, agent: int, now: float) -> bool:
        """Whether it is time to look again for a queue to keep the agent for."""
        known = self._agents.get((stamp, agent))
        if known is None or now - known.looked < LOOK:
            return False
        known.looked = now
        return True

    def forget(self, stamp: str, agents: Iterable[int]) -> None:
        """The pilot takes no jobs any more, or has not asked for long."""
        for agent in agents:
            self.end_at(stamp, agent)
            self._agents.pop((stamp, agent), None)

    # -- reservations -----------------------------------------------------------------------------------------------
    def at(self, stamp: str, agent: int, now: float) -> Reservation | None:
        """What the agent is kept for."""
        kept = self._kept.get((stamp, agent))
        if kept is not None and now >= kept.until:
            self.end(kept)
            return None
        return kept

    def of_queue(self, queue: int, now: float) -> Reservation | None:
        """Where room is kept for a queue."""
        kept = self._of_queue.get(queue)
        return kept if kept is not None and now < kept.until else None

    def keep(self, stamp: str, agent: int, queue: TaskQueue, free: Free, now: float) -> Reservation | None:
        """Keep the agent for a queue, unless one is kept that is nearer to holding the job, or there are too many."""
        other = self.of_queue(queue.id, now)
        if other is not None:
            if other.free >= free.cores:
                return None
            self.end(other)
        if len(self._kept) >= MOST and not self._drop_old(now):
            return None
        needs = queue.needs
        # As long as the job could end before the pilot does.
        until = now + min(HOLD, max(0, free.seconds - needs.wall_time))
        kept = Reservation(stamp, agent, queue, 0 if needs.whole_node else needs.cores, free.cores, until)
        self.end_at(stamp, agent)
        self._kept[stamp, agent] = self._of_queue[queue.id] = kept
        return kept

    def seen(self, kept: Reservation, free: Free) -> None:
        """The agent has asked again."""
        if kept.free != free.cores:
            self._kept[kept.stamp, kept.agent] = self._of_queue[kept.queue.id] = replace(kept, free=free.cores)

    def end(self, kept: Reservation) -> None:
        """The job was given, or nobody needs the room any more."""
        self._kept.pop((kept.stamp, kept.agent), None)
        self._of_queue.pop(kept.queue.id, None)

    def end_at(self, stamp: str, agent: int) -> None:
        if kept := self._kept.get((stamp, agent)):
            self.end(kept)

    def _drop_old(self, now: float) -> bool:
        old = [kept for kept in self._kept.values() if now >= kept.until]
        for kept in old:
            self.end(kept)
        return bool(old)


def is_wide(needs: Needs, free: Free, whole: Free) -> bool:
    """Whether a job does not fit what is free, and would fit the whole."""
    return not room(needs, free) and room(needs, whole) > 0


def larger(one: Free, other: Free) -> Free:
    """The larger of each amount."""
    return Free(
        max(one.cores, other.cores),
        max(one.memory, other.memory),
        max(one.disk, other.disk),
        list(one.gpus if len(one.gpus) >= len(other.gpus) else other.gpus),
        max(one.seconds, other.seconds),
        one.empty or other.empty,
    )
