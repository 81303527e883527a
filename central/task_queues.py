"""The task queues in memory: how many jobs wait in each, and which of them go into an offer. Never a job itself.

Counts follow the store and may lag behind it: a claim that wins less than was picked corrects them, and `load` sets
them anew. A count too high costs a claim that wins nothing; one too low would leave a job waiting, so doubt counts
upwards.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from central.grouping import PRIORITIES, Alike, Look, Mentions, Queue, View, kind_of
from central.matcher import Free, granted, room
from central.records import Leased, Pick, Requeued, TaskQueue, Waiting
from pilot.protocol import Needs, Offer

#: Views kept; one costs some two hundred bytes for each kind that fits it.
MAX_VIEWS = 512
#: What has moved forward is remembered for the views that far; one that has heard less is made anew.
MAX_NEWS = 200


@dataclass(frozen=True)
class Choice:
    """What `choose` reserved: the picks to claim, and what is left of the offer if all are won."""

    picks: tuple[Pick, ...]
    free: Free
    taken: tuple[tuple[int, int, int], ...] = ()  # queue, priority, count
    additions: Mapping[int, int] = field(default_factory=dict)  # queue → its additions when it was picked
    load: int = 0  # the load of the counts that this was taken from


class TaskQueues:
    """The index of what waits."""

    def __init__(self) -> None:
        self._queues: dict[int, Queue] = {}
        self._alike: dict[str, dict[Needs, Alike]] = {}  # community → needs → queues
        self._kinds: dict[tuple[str, Needs], int] = {}  # community and needs without amounts → number
        self._mentions = Mentions()
        self._views: OrderedDict[Look, View] = OrderedDict()
        self._news: list[Alike] = []  # what has moved forward, or waits again, in the order in which it did
        self._old_news = 0  # how many went before these
        self._loads = 0

    # -- what waits -------------------------------------------------------------------------------------------------
    def load(self, waiting: Sequence[Waiting]) -> None:
        """Set every count to what the store says. Choices made before are no longer counted."""
        self._loads += 1
        self._views.clear()
        for queue in self._queues.values():
            queue.counts = [0] * PRIORITIES
            queue.reserved = 0
            self._moved(queue)
        self.add(waiting)

    def add(self, added: Sequence[Waiting]) -> None:
        """Jobs have come to wait."""
        for waiting in added:
            queue = self._queues.get(waiting.queue.id) or self._new(waiting.queue)
            for priority, count in waiting.counts.items():
                queue.add(priority, count, waiting.oldest)
            self._moved(queue)

    def requeue(self, job: Requeued) -> bool:
        """A job is back. False when its queue is not known here, and nothing was counted."""
        queue = self._queues.get(job.queue)
        if queue is None:
            return False
        queue.add(job.priority, 1, job.job)
        self._moved(queue)
        return True

    def remove(self, job: Requeued) -> None:
        """A job that waited was killed or held."""
        if queue := self._queues.get(job.queue):
            queue.counts[job.priority] -= 1
            self._moved(queue)

    def prune(self, now: float, after: float) -> int:
        """Forget queues that have been empty for so many seconds; returns how many."""
        gone: list[Queue] = []
        for queue in self._queues.values():
            if queue.key is None and not queue.reserved and not any(queue.counts):
                queue.emptied = now if queue.emptied is None else queue.emptied
                if now - queue.emptied >= after:
                    gone.append(queue)
        for queue in gone:
            self._drop(queue)
        if gone:
            self._forget()
        return len(gone)

    # -- choosing ---------------------------------------------------------------------------------------------------
    def choose(self, offer: Offer, most: int) -> Choice:
        """Pack up to so many jobs into the offer, in order, and reserve them. Every choice has to be settled."""
        view = self._view(offer)
        free = Free.of(offer)
        picks: dict[tuple[int, int], int] = {}  # queue, cores → jobs
        taken: list[tuple[int, int, int]] = []
        additions: dict[int, int] = {}
        at = 0
        while most > 0 and free.cores > 0 and (found := view.first_fit(free, at)):
            alike, at = found
            queue = alike.queues.first()
            if queue is None or queue.key is None:
                break
            needs, number, priority = queue.task.needs, queue.task.id, -queue.key[0]
            count = min(room(needs, free), most, queue.counts[priority])
            cores = granted(needs, free)
            free.take(needs, cores, count)
            most -= count
            queue.counts[priority] -= count
            queue.reserved += count
            self._moved(queue)
            picks[number, cores] = picks.get((number, cores), 0) + count
            taken.append((number, priority, count))
            additions[number] = queue.additions
        chosen = tuple(Pick(number, count, cores) for (number, cores), count in picks.items())
        return Choice(chosen, free, tuple(taken), additions, self._loads)

    def settle(self, choice: Choice, leases: Sequence[Leased] | None) -> None:
        """Put the counts right with what the claim won; None: it did not happen, and all of it waits still."""
        if choice.load != self._loads:
            return
        missing: dict[int, int] = {}  # queue → picked and not won
        for number, priority, count in choice.taken:
            missing[number] = missing.get(number, 0) + count
            if queue := self._queues.get(number):
                queue.counts[priority] += count
                queue.reserved -= count
        for lease in leases or ():
            missing[lease.queue] = missing.get(lease.queue, 0) - 1
            if queue := self._queues.get(lease.queue):
                queue.counts[lease.priority] -= 1
                queue.oldest[lease.priority] = max(queue.oldest[lease.priority], lease.job + 1)
        for number, count in missing.items():
            queue = self._queues.get(number)
            if queue is None:
                continue
            if leases is not None and count > 0 and queue.additions == choice.additions[number]:
                # The store had no more in this queue, and nothing was added since: the rest was never there.
                queue.counts = [min(0, waiting) for waiting in queue.counts]
            self._moved(queue)

    # -- looking ----------------------------------------------------------------------------------------------------
    def queues(self, communities: Collection[str] | None = None) -> Iterator[tuple[TaskQueue, int]]:
        """The queues in which jobs wait, with their number; of these communities, or of all. Reserved ones are out."""
        for queue in self._queues.values():
            if queue.key is not None and (communities is None or queue.task.community in communities):
                yield queue.task, queue.waiting

    def samples(self, communities: Collection[str], most: int) -> tuple[TaskQueue, ...]:
        """Up to so many queues with waiting jobs of these communities, of different needs."""
        found: list[TaskQueue] = []
        for community in communities:
            for alike in self._alike.get(community, {}).values():
                if alike.row is not None:
                    found.append(alike.sample)
                    if len(found) >= most:
                        return tuple(found)
        return tuple(found)

    def waits(self, queue: int) -> bool:
        """Whether a job waits in the queue and is not reserved."""
        known = self._queues.get(queue)
        return known is not None and known.key is not None

    def task(self, queue: int) -> TaskQueue | None:
        """A queue known here, also an empty one."""
        known = self._queues.get(queue)
        return known.task if known else None

    def any_fits(self, offer: Offer) -> bool:
        """Whether a job waits that fits the offer."""
        return self._view(offer).first_fit(Free.of(offer)) is not None

    def fitting(self, offer: Offer) -> Iterator[tuple[TaskQueue, int]]:
        """The queues whose jobs wait and would fit the offer, with their number."""
        view, free = self._view(offer), Free.of(offer)
        for queue in self._queues.values():
            if queue.key is not None and view.accepts(queue.alike) and room(queue.task.needs, free):
                yield queue.task, queue.waiting

    def demand(self, offer: Offer) -> tuple[int, int]:
        """The jobs that wait and would fit the offer, and the cores that they ask for at least."""
        jobs = cores = 0
        for task, waiting in self.fitting(offer):
            jobs += waiting
            cores += waiting * (offer.cores if task.needs.whole_node else task.needs.cores)
        return jobs, cores

    # -- inside -----------------------------------------------------------------------------------------------------
    def _new(self, task: TaskQueue) -> Queue:
        group = self._alike.setdefault(task.community, {})
        alike = group.get(task.needs)
        if alike is None:
            kind = self._kinds.setdefault((task.community, kind_of(task.needs)), len(self._kinds))
            alike = group[task.needs] = Alike(task, kind)
            self._mentions.learn(task.needs)
        alike.members += 1
        queue = self._queues[task.id] = Queue(task, alike)
        return queue

    def _moved(self, queue: Queue) -> None:
        """The queue's place may have changed."""
        queue.place()
        if queue.alike.moved(queue):
            self._news.append(queue.alike)
            if len(self._news) > 2 * MAX_NEWS:
                del self._news[:MAX_NEWS]
                self._old_news += MAX_NEWS

    def _drop(self, queue: Queue) -> None:
        del self._queues[queue.task.id]
        queue.alike.queues.discard(queue)
        queue.alike.members -= 1
        if not queue.alike.members:
            del self._alike[queue.task.community][queue.task.needs]

    def _forget(self) -> None:
        """Let go of what belonged to dropped queues."""
        self._mentions = Mentions()
        kinds: dict[tuple[str, Needs], int] = {}
        for community, group in self._alike.items():
            for needs in group:
                self._mentions.learn(needs)
                kinds.setdefault((community, kind_of(needs)), len(kinds))
        if len(self._kinds) > 2 * len(kinds) + 1000:  # each view keeps a byte for every number ever given
            self._views.clear()
            self._kinds = kinds
            for community, group in self._alike.items():
                for needs, alike in group.items():
                    alike.kind = kinds[community, kind_of(needs)]
        for view in self._views.values():
            view.tidy()

    def _view(self, offer: Offer) -> View:
        look = self._mentions.look(offer)
        view = self._views.get(look)
        if view is not None and view.read >= self._old_news:
            self._views.move_to_end(look)
            view.hear(self._news[view.read - self._old_news :])
        else:
            view = self._views[look] = View(look.offer())
            view.fill(alike for name in set(look.communities) for alike in self._alike.get(name, {}).values())
            if len(self._views) > MAX_VIEWS:
                self._views.popitem(last=False)
        view.read = self._old_news + len(self._news)
        return view
