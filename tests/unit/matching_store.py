"""The few verbs of the store that matching uses, over a list in memory, with doors that a test can shut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from central.records import (
    Beat,
    Claim,
    Consumed,
    Leased,
    Limit,
    LimitUse,
    Pick,
    PilotRow,
    Requeued,
    Suspicion,
    Swept,
    TaskQueue,
    Waiting,
)
from pilot.protocol import JobSpec
from tests.unit.pilot_rows import pilot


class MatchingStore:
    """Jobs that wait, oldest first; a claim takes them as the real one does."""

    def __init__(self) -> None:
        self.queues: dict[int, TaskQueue] = {}
        self.jobs: dict[int, tuple[int, int]] = {}  # waiting job → queue, priority
        self.given: dict[tuple[str, int, int], list[Leased]] = {}  # stamp, agent, request → what it was given
        self.barred: dict[str, str] = {}  # stamp → reason
        self.suspects: set[str] = set()  # stamps of pilots that get one job at a time
        self.doubts: dict[str, Suspicion] = {}  # stamp → what is held against its machine
        self.bound: dict[str, str] = {}  # stamp → the community that it serves alone
        self.claims: list[tuple[str, Sequence[Pick]]] = []
        self.error: Exception | None = None  # raised by the next call
        self.door = asyncio.Event()  # claims wait for it
        self.door.set()
        self.way_back = asyncio.Event()  # and their answers for this
        self.way_back.set()
        self.time = 5_000_000.0
        self.beats: list[Beat] = []
        self.epochs: list[int | None] = []  # answers of `lead`, the last one for ever
        self.swept = Swept((), ())
        self.old = 0  # jobs that ended long ago
        self.retired: list[tuple[float, int]] = []  # before, limit
        self.calls: list[str] = []
        self.last = 0
        self.bounds: dict[str, Limit] = {}
        self.out: dict[str, tuple[int, int]] = {}  # limit → attempts and cores that are out
        self.used: list[Consumed] = []
        self.limited: tuple[str, ...] = ()

    def submit(self, queue: TaskQueue, count: int = 1, priority: int = 5) -> tuple[Waiting, ...]:
        """Add jobs; what is returned is to be told to the dispatcher."""
        self.queues[queue.id] = queue
        first = self.last + 1
        for _ in range(count):
            self.last += 1
            self.jobs[self.last] = (queue.id, priority)
        return (Waiting(queue, {priority: count}, first),)

    def kill(self, job: int) -> tuple[Requeued, ...]:
        queue, priority = self.jobs.pop(job)
        return (Requeued(queue, job, priority),)

    def put_back(self, lease: Leased) -> tuple[Requeued, ...]:
        self.jobs[lease.job] = (lease.queue, lease.priority)
        return (Requeued(lease.queue, lease.job, lease.priority),)

    def _raise(self, call: str) -> None:
        self.calls.append(call)
        error, self.error = self.error, None
        if error is not None:
            raise error

    # -- the port -------------------------------------------------------------------------------------------------
    async def now(self) -> float:
        return self.time

    async def pilot(self, stamp: str) -> PilotRow:
        self._raise("pilot")
        bound = self.bound.get(stamp, "") if any(self._served(stamp)) else ""
        return pilot(stamp, suspect=self.doubts.get(stamp), bound=bound)

    async def waiting(self) -> tuple[Waiting, ...]:
        self._raise("waiting")
        return tuple(self._waiting(queue) for queue in self.queues.values() if self._waiting(queue).counts)

    def _waiting(self, queue: TaskQueue) -> Waiting:
        here = [(job, priority) for job, (number, priority) in self.jobs.items() if number == queue.id]
        counts: dict[int, int] = {}
        for _, priority in here:
            counts[priority] = counts.get(priority, 0) + 1
        return Waiting(queue, counts, min((job for job, _ in here), default=0))

    async def task_queue(self, job: int) -> Waiting | None:
        self._raise("task_queue")
        await asyncio.sleep(0)
        return self._waiting(self.queues[self.jobs[job][0]]) if job in self.jobs else None

    async def claim(
        self, stamp: str, agent: int, request: int, picks: Sequence[Pick], epoch: int | None = None
    ) -> Claim:
        await self.door.wait()
        self._raise("claim")
        self.claims.append((stamp, picks))
        if stamp in self.barred:
            return Claim((), self.barred[stamp])
        key = (stamp, agent, request)
        suspect = "suspect" if stamp in self.suspects else None
        if suspect:
            picks = [replace(picks[0], count=1)]
        if key not in self.given:
            full: set[str] = set()
            alone = self.bound.get(stamp) or None
            if picks and alone not in (None, *(self.queues[pick.queue].community for pick in picks)):
                return Claim((), "bound")
            picks = [pick for pick in picks if alone in (None, self.queues[pick.queue].community)]
            won = [lease for pick in picks for lease in self._take(replace(pick, count=self._room(pick, full)))]
            if not won:
                return Claim((), limited=tuple(sorted(full)))
            self.given[key] = won
            self.limited = tuple(sorted(full))
        await self.way_back.wait()
        return Claim(tuple(self.given[key]), suspect, self.limited)

    def _room(self, pick: Pick, full: set[str]) -> int:
        """How many of a pick's jobs the limits let in; what they do not counts as full."""
        rooms = {name: self.bounds[name].attempts or 0 for name in pick.limits if name in self.bounds}
        rooms = {name: max(0, most - self.out.get(name, (0, 0))[0]) for name, most in rooms.items()}
        count = min([pick.count, *rooms.values()])
        full.update(name for name, room in rooms.items() if room < pick.count)
        for name in rooms:
            attempts, cores = self.out.get(name, (0, 0))
            self.out[name] = (attempts + count, cores + count * pick.cores)
        return count

    def end(self, name: str, attempts: int = 1) -> None:
        """Attempts that count against a limit have ended."""
        self.out[name] = (self.out[name][0] - attempts, self.out[name][1] - attempts)

    def _take(self, pick: Pick) -> list[Leased]:
        here = sorted((-priority, job) for job, (queue, priority) in self.jobs.items() if queue == pick.queue)
        won: list[Leased] = []
        for less, job in here[: pick.count]:
            del self.jobs[job]
            task = self.queues[pick.queue]
            spec = JobSpec(("true",), task.needs)
            won.append(Leased(job, 1, task.id, -less, pick.cores, spec, task.community, task.group, task.owner))
        return won

    async def bind(self, stamp: str, community: str) -> str:
        await self.door.wait()
        self._raise("bind")
        if stamp not in self.bound or not any(self._served(stamp)):
            self.bound[stamp] = next(self._served(stamp), community)
        return self.bound[stamp]

    def _served(self, stamp: str) -> Iterator[str]:
        """The communities whose jobs the pilot was given."""
        return (lease.community for key, won in self.given.items() if key[0] == stamp for lease in won)

    async def answered(self, stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
        self._raise("answered")
        given = self.given.get((stamp, agent, request))
        return None if given is None else tuple(given)

    async def beat(self, beats: Sequence[Beat]) -> None:
        self._raise("beat")
        self.beats += beats

    async def lead(self, duty: str, holder: str, seconds: float) -> int | None:
        self._raise("lead")
        return self.epochs.pop(0) if len(self.epochs) > 1 else (self.epochs or [1])[0]

    async def sweep(self, silent_after: float) -> Swept:
        self._raise("sweep")
        swept, self.swept = self.swept, Swept((), ())
        return swept

    async def consumed(self, half_life: float) -> tuple[Consumed, ...]:
        self._raise("consumed")
        return tuple(self.used)

    async def limits(self) -> tuple[LimitUse, ...]:
        self._raise("limits")
        return tuple(LimitUse(limit, *self.out.get(name, (0, 0))) for name, limit in self.bounds.items())

    async def roll_up(self) -> int:
        self._raise("roll_up")
        return 1

    async def retire(self, before: float, limit: int) -> int:
        self._raise("retire")
        self.retired.append((before, limit))
        gone = min(limit, self.old)
        self.old -= gone
        return gone

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return {}
