"""Which of the waiting jobs go into an offer, and what is counted of them until a claim has won them.

A claim that wins less than was picked corrects the counts. A count too high costs a claim that wins nothing; one too
low would leave a job waiting, so doubt counts upwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from central.matching.grouping import Wanted
from central.matching.matcher import Free, granted, room
from central.matching.queue_index import QueueIndex
from central.matching.queued import Queue
from central.matching.shares import Account
from central.matching.views import View
from central.records import Leased, Pick
from pilot.protocol import Needs, Offer


@dataclass(frozen=True)
class Taken:
    """So many jobs of one queue that were reserved, at one priority and with so many cores each."""

    queue: int
    priority: int
    count: int
    cores: int


@dataclass(frozen=True)
class Choice:
    """What `choose` reserved: the picks to claim, and what is left of the offer if all are won."""

    picks: tuple[Pick, ...]
    free: Free
    taken: tuple[Taken, ...] = ()
    additions: Mapping[int, int] = field(default_factory=dict)  # queue → its additions when it was picked
    load: int = 0  # the load of the counts that this was taken from
    use_load: int = 0  # and of the use
    limited: bool = False  # something was passed over for a limit that is full
    kept: bool = False  # something was passed over for a reservation


def parted(choice: Choice, queues: Collection[int]) -> tuple[Choice, Choice]:
    """What of a choice is of these queues, and the rest; each is to be settled."""
    ours, others = (
        replace(
            choice,
            picks=tuple(pick for pick in choice.picks if (pick.queue in queues) is mine),
            taken=tuple(taken for taken in choice.taken if (taken.queue in queues) is mine),
        )
        for mine in (True, False)
    )
    return ours, others


@dataclass
class _Packing:
    """A choice under way."""

    free: Free
    most: int
    taken: list[Taken] = field(default_factory=list)
    limits: dict[int, int] = field(default_factory=dict)  # queue → those that count its jobs here


class TaskQueues(QueueIndex):
    """Chooses jobs for offers, and reserves them until it is known what a claim has won."""

    # -- choosing ---------------------------------------------------------------------------------------------------
    def choose(self, offer: Offer, most: int, *, kept: int | None = None, tries: bool = True) -> Choice:
        """Pack up to so many jobs into the offer, in order, and reserve them. Every choice has to be settled.

        `kept` is a queue that the place is kept for: one of its jobs goes first, or others get only what that would
        leave. `tries`: closed limits that may be tried again are.
        """
        view = self._view(offer)
        packing = _Packing(Free.of(offer), most)
        self._searches += 1
        tried = self.limits.due(self._now) if tries else 0
        search = Wanted(self._searches, view, packing.free, self.limits, tried)
        left = self._keep(kept, packing, view, search) if kept is not None else None
        while packing.most > 0 and packing.free.cores > 0 and (queue := self._first(view, search)):
            self._take(queue, packing, search, packing.most)
        if tried:
            for bits in packing.limits.values():
                self.limits.trying(bits, self._now)
        picks: dict[tuple[int, int], int] = {}  # queue, cores → jobs
        for taken in packing.taken:
            picks[taken.queue, taken.cores] = picks.get((taken.queue, taken.cores), 0) + taken.count
        return Choice(
            tuple(
                Pick(number, count, cores, self.limits.names(packing.limits[number]), self.resting.names(number))
                for (number, cores), count in picks.items()
            ),
            packing.free,
            tuple(packing.taken),
            {number: self._queues[number].additions for number in packing.limits},
            self._loads,
            self.standings.loads,
            search.held_up,
            left is not None,
        )

    def settle(
        self, choice: Choice, leases: Sequence[Leased] | None, limited: Collection[str] = (), *, cut: bool = False
    ) -> bool:
        """Put the counts right with what the claim won; None: it did not happen, and all of it waits still.

        `limited` are limits for which the store gave less than was picked; `cut`: it gave less for another reason.
        Returns whether a limit that was closed has room.
        """
        lost: dict[int, list[int]] = {}  # queue → jobs, and cores, that were picked and not won
        for taken in choice.taken:
            jobs_cores = lost.setdefault(taken.queue, [0, 0])
            jobs_cores[0] += taken.count
            jobs_cores[1] += taken.count * taken.cores
        for lease in leases or ():
            jobs_cores = lost.setdefault(lease.queue, [0, 0])
            jobs_cores[0] -= 1
            jobs_cores[1] -= lease.cores
        if choice.use_load == self.standings.loads:
            self._charge(lost)
        opened = False
        if leases is not None and self.limits.version == self._known[1]:
            opened = self._learn(choice, {lease.queue for lease in leases}, limited)
        if choice.load == self._loads:
            self._recount(choice, leases, lost, _held_back(choice, limited, cut))
        return opened

    # -- inside: choosing -------------------------------------------------------------------------------------------
    def _keep(self, number: int, packing: _Packing, view: View, search: Wanted) -> Needs | None:
        """Give a job of the queue that the place is kept for. When there is no room, what it needs is taken from the
        amounts, and returned."""
        queue = self._queues.get(number)
        if queue is None or queue.place is None or not view.accepts(queue):
            return None
        needs, free = queue.task.needs, packing.free
        if room(needs, free):
            if not self.limits.shuts_out(queue.limits & search.shut, granted(needs, free)):
                self._take(queue, packing, search, 1)
            return None
        free.take(needs, needs.cores, 1)
        free.cores, free.memory, free.disk = max(free.cores, 0), max(free.memory, 0), max(free.disk, 0)
        return needs

    def _take(self, queue: Queue, packing: _Packing, search: Wanted, most: int) -> None:
        """Reserve jobs of one queue: as many as go before it is somebody else's turn."""
        assert queue.place is not None  # noqa: S101 - it was found in its place
        needs, priority, free = queue.task.needs, -queue.place[0], packing.free
        cores = granted(needs, free)
        count = min(room(needs, free), most, queue.counts[priority])
        if count > 1:
            count = min(count, _in_a_row(queue, cores))
        free.take(needs, cores, count)
        packing.most -= count
        packing.taken.append(Taken(queue.task.id, priority, count, cores))
        packing.limits[queue.task.id] = queue.limits & search.there
        queue.counts[priority] -= count
        queue.reserved += count
        queue.since = self._now
        self.standings.given(queue.account, cores * count)
        self._weighed(queue.account)
        if not queue.counts[priority]:
            self._moved(queue)

    def _weighed(self, account: Account) -> None:
        self._work.weighed(account)
        self._idle.weighed(account)

    # -- inside: what a claim won -----------------------------------------------------------------------------------
    def _charge(self, lost: Mapping[int, Sequence[int]]) -> None:
        """Correct the use that was reckoned for what was not won."""
        for number, (_, cores) in lost.items():
            queue = self._queues.get(number)
            if queue is not None and cores:
                if cores > 0:
                    self.standings.returned(queue.account, cores)
                else:
                    self.standings.given(queue.account, -cores)
                self._weighed(queue.account)

    def _learn(self, choice: Choice, won: Collection[int], limited: Collection[str]) -> bool:
        """Which limits turned out to be full, and which not."""
        full: dict[str, int] = {}
        free: set[str] = set()
        for pick in choice.picks:
            for name in pick.limits:
                if name in limited:
                    full[name] = min(pick.cores, full.get(name, pick.cores))
                elif pick.queue in won:
                    free.add(name)
        if full:
            self.limits.close(full, self._now)
        return bool(free) and self.limits.open(free - full.keys())

    def _recount(
        self,
        choice: Choice,
        leases: Sequence[Leased] | None,
        lost: Mapping[int, Sequence[int]],
        held_back: Collection[int],
    ) -> None:
        for taken in choice.taken:
            if queue := self._queues.get(taken.queue):
                queue.counts[taken.priority] += taken.count
                queue.reserved -= taken.count
        for lease in leases or ():
            if queue := self._queues.get(lease.queue):
                queue.counts[lease.priority] -= 1
                queue.oldest[lease.priority] = max(queue.oldest[lease.priority], lease.job + 1)
        for number, (jobs, _) in lost.items():
            queue = self._queues.get(number)
            if queue is None:
                continue
            short = leases is not None and jobs > 0 and number not in held_back
            if short and queue.additions == choice.additions[number]:
                # The store had no more in this queue, and nothing was added since: the rest was never there.
                queue.counts = [min(0, waiting) for waiting in queue.counts]
            self._moved(queue)


def _held_back(choice: Choice, limited: Collection[str], cut: bool) -> set[int]:
    """The queues of which less may have been given than waits, so that the rest of what was picked waits still."""
    full = set(limited)
    return {pick.queue for pick in choice.picks if cut or not full.isdisjoint(pick.limits)}


def _in_a_row(queue: Queue, cores: int) -> int:
    """How many jobs of so many cores a queue may give before the turn is somebody else's."""
    party = queue.party
    assert party is not None  # noqa: S101 - it stands somewhere
    count = 1 << 30
    while (parent := party.parent) is not None:
        following = parent.after(party)
        if following is not None and party.account is not None:
            count = min(count, party.account.before(following[0], cores))
        party = parent
    return max(count, 1)
