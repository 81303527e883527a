"""Match requests that wait because nothing fitted them, and which of them is served when something is added."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from central.clock import Clock
from central.matching.choosing import Chooser
from central.matching.matcher import Free, alone, room
from central.matching.task_queues import Choice, TaskQueues
from central.records import Leased, TaskQueue
from pilot.protocol import NoMatch, Offer

#: With more queues than this added at once, looking at each for every request costs more than a choice.
MANY = 20


class Answer(NamedTuple):
    """What a match request gets: leases, or none and why, and when to ask again (seconds)."""

    leases: tuple[Leased, ...]
    reason: NoMatch | None = None
    detail: str = ""
    retry_after: float = 0.0
    least_time: int | None = None  # seconds, see `central.remaining`
    waits: bool = False  # whether jobs waited that did not fit, where the reason does not say so


@dataclass(eq=False)
class Held:
    """One request that may wait until `deadline`, by the clock. It waits while `turn` is there and open.

    `barred`: not for jobs, but until its machine, which is suspect, may have one. `due`: its pilot is bound to the
    community of its next jobs before they are claimed.
    """

    stamp: str
    agent: int
    offer: Offer
    most: int
    deadline: float
    host: str = ""  # the machine that the pilot is on, at the offer's site
    due: bool = False
    barred: bool = False
    stirred: bool = False  # an attempt has ended on its machine
    passed: Choice | None = None  # the last choice for it, which found nothing
    turn: asyncio.Future[Choice | Answer] | None = None
    free: Free = field(init=False)  # all of the offer

    def __post_init__(self) -> None:
        self.free = Free.of(self.offer)

    def bind(self, community: str) -> None:
        """Its pilot serves that community alone from now on. What was chosen for it before is looked at once more."""
        self.offer = alone(self.offer, community)
        self.__dict__.pop("kind", None)

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What queues it may have jobs of hangs on this alone, but for amounts."""
        offer = self.offer
        return (
            offer.site,
            offer.queue,
            offer.communities,
            offer.owners,
            offer.tags,
            offer.unknown_tags,
            offer.required_tags,
            offer.platform,
            offer.isolation,
        )

    @property
    def waiting(self) -> bool:
        return self.turn is not None and not self.turn.done() and not self.barred

    def end(self, outcome: Choice | Answer | Exception) -> None:
        """Let it go on, with jobs reserved for it or with its answer."""
        if self.turn is None or self.turn.done():
            return
        if isinstance(outcome, Exception):
            self.turn.set_exception(outcome)
        else:
            self.turn.set_result(outcome)


class HeldRequests:
    """The requests that wait, the longest waiting first."""

    def __init__(self, queues: TaskQueues, chooser: Chooser, clock: Clock) -> None:
        self._queues = queues
        self._chooser = chooser
        self._clock = clock
        self._held: dict[Held, None] = {}  # in the order in which they came
        self._barred: dict[tuple[str, str], dict[Held, None]] = {}  # of them, by the machine: site and host

    def __len__(self) -> int:
        return len(self._held)

    async def wait(self, held: Held, seconds: float, otherwise: Callable[[], Choice | Answer]) -> Choice | Answer:
        """Wait for jobs that fit, or for `otherwise` after so long. Whoever waits again keeps the earlier place."""
        self._held.setdefault(held)
        turn: asyncio.Future[Choice | Answer] = asyncio.get_running_loop().create_future()
        held.turn = turn
        timer = self._clock.later(seconds, lambda: held.end(otherwise()))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came as it left
                outcome = turn.result()
                if isinstance(outcome, Choice):
                    self.give_back(outcome)
            raise
        finally:
            timer.cancel()

    def bar(self, held: Held) -> None:
        """The request is for no jobs until its machine may have one."""
        held.barred = True
        self._held.setdefault(held)
        self._barred.setdefault((held.offer.site, held.host), {})[held] = None

    def unbar(self, held: Held) -> None:
        """The request is for jobs again."""
        held.barred = False
        place = held.offer.site, held.host
        there = self._barred.get(place, {})
        there.pop(held, None)
        if not there:
            self._barred.pop(place, None)

    def barred(self) -> frozenset[str]:
        """The pilots whose machines may have no job now, of those that wait."""
        return frozenset(held.stamp for there in self._barred.values() for held in there)

    def stir(self, site: str, host: str) -> None:
        """An attempt has ended on a machine: those that may have none there look again."""
        for held in self._barred.get((site, host), ()):
            held.stirred = True
            held.end(Choice((), held.free))

    def leave(self, held: Held) -> None:
        """The request is answered or given up."""
        self._held.pop(held, None)
        self.unbar(held)

    def of(self, stamp: str) -> Iterator[Held]:
        """Those of one pilot."""
        return (held for held in self._held if held.stamp == stamp)

    def give_back(self, choice: Choice) -> None:
        """Jobs reserved for a request that is gone go to those that wait."""
        self._queues.settle(choice, None)
        self.serve([task for pick in choice.picks if (task := self._queues.task(pick.queue))])

    def serve(self, added: Sequence[TaskQueue]) -> None:
        """Jobs have come to wait in these queues: choose for the requests that they fit, the longest waiting first."""
        left = self._still(added)
        right_kind: dict[tuple[object, ...], list[TaskQueue]] = {}  # of the queues left, by the kind of offer
        for held in self._held:
            if not left:
                return
            if not held.waiting:
                continue
            if len(left) <= MANY:
                if held.kind not in right_kind:
                    right_kind[held.kind] = [task for task in left if self._queues.is_right(task, held.offer)]
                if not any(room(task.needs, held.free) for task in right_kind[held.kind]):
                    continue
            if self._choose(held):
                still = self._still(left)
                if len(still) < len(left):
                    left = still
                    right_kind.clear()

    def serve_all(self) -> None:
        """The counts were set anew, or limits may have room: choose for every request that waits."""
        for held in self._held:
            if held.waiting:
                self._choose(held)

    def end_all(self, outcome: Answer | Exception) -> None:
        """Nobody waits any longer."""
        for held in self._held:
            held.end(outcome)

    def _choose(self, held: Held) -> bool:
        choice = self._chooser.choose(held)
        if choice.picks:
            held.end(choice)
            return True
        held.passed = choice
        return False

    def _still(self, tasks: Sequence[TaskQueue]) -> list[TaskQueue]:
        return [task for task in tasks if self._queues.waits(task.id)]
