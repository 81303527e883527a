"""What waits: the task queues in memory, in the order of their turn, with the number of jobs in each. Never a job.

Counts follow the store and may lag behind it; `load` sets them anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from central.matching.grouping import Turns, Wanted
from central.matching.kinds import Kinds
from central.matching.limits import Limits
from central.matching.looks import Look, Mentions
from central.matching.matcher import Free, granted, room
from central.matching.queued import PRIORITIES, Queue
from central.matching.resting import Resting
from central.matching.shares import Standings
from central.matching.views import View
from central.records import Requeued, TaskQueue, Waiting
from pilot.protocol import Needs, Offer

#: Views kept; each has a byte for every kind of needs.
MAX_VIEWS = 512
#: Queues in which jobs have come to wait are remembered for the views that far; one that has heard less forgets
#: where it found nothing.
MAX_NEWS = 200


class QueueIndex:
    """The task queues, in the order that `standings` give; what counts against a full limit is passed over."""

    def __init__(self, standings: Standings | None = None, limits: Limits | None = None) -> None:
        self.standings = standings or Standings()
        self.limits = limits or Limits()
        self.resting = Resting()
        self._queues: dict[int, Queue] = {}
        self._kinds = Kinds()
        self._views: OrderedDict[Look, View] = OrderedDict()
        self._news: list[Queue] = []  # in which jobs have come to wait, in the order in which they did
        self._old_news = 0  # how many went before these
        self._loads = 0
        self._searches = 0
        self._now = 0.0
        self._begin()

    def _begin(self) -> None:
        self._gone = 0  # queues that have gone since mentions were read
        self._mentions = Mentions(self.limits)
        self._work = Turns(self.limits)
        self._idle = Turns(self.limits)  # of priority 0: when nothing else fits
        self._known = (self.standings.version, self.limits.version)

    # -- what waits -------------------------------------------------------------------------------------------------
    def load(self, waiting: Sequence[Waiting]) -> None:
        """Set every count to what the store says. Choices made before are no longer counted."""
        self._loads += 1
        for queue in self._queues.values():
            queue.counts = [0] * PRIORITIES
            queue.reserved = 0
        for row in waiting:
            self._count(row)
        for queue in self._queues.values():
            self._moved(queue)

    def add(self, added: Sequence[Waiting]) -> None:
        """Jobs have come to wait."""
        for row in added:
            self._moved(self._count(row))

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
            if queue.place is None and not queue.reserved and not any(queue.counts):
                queue.emptied = now if queue.emptied is None else queue.emptied
                if now - queue.emptied >= after:
                    gone.append(queue)
        for queue in gone:
            del self._queues[queue.task.id]
        if gone:
            self._kinds.leave(queue.task for queue in gone)
            self._gone += len(gone)
            if self._gone >= len(self._queues):  # not each time: everything is read for it
                self._forget()
        return len(gone)

    def advance(self, now: float) -> None:
        """Time has passed; to be said before a choice."""
        self._now = now
        self.standings.advance(now)

    # -- looking ----------------------------------------------------------------------------------------------------
    def queues(self, communities: Collection[str] | None = None) -> Iterator[tuple[TaskQueue, int]]:
        """The queues in which jobs wait, with their number; of these communities, or of all. Reserved ones are out."""
        for queue in self._queues.values():
            if queue.place is not None and (communities is None or queue.task.community in communities):
                yield queue.task, queue.waiting

    def samples(self, communities: Collection[str], most: int) -> tuple[TaskQueue, ...]:
        """Up to so many queues with waiting jobs of these communities, of different needs."""
        found: dict[Needs, TaskQueue] = {}
        for turns in (self._work, self._idle):
            for task in islice(turns.of(communities), 100 * most):
                found.setdefault(task.needs, task)
                if len(found) >= most:
                    return tuple(found.values())
        return tuple(found.values())

    def waits(self, queue: int) -> bool:
        """Whether a job waits in the queue and is not reserved."""
        known = self._queues.get(queue)
        return known is not None and known.place is not None

    def task(self, queue: int) -> TaskQueue | None:
        """A queue known here, also an empty one."""
        known = self._queues.get(queue)
        return known.task if known else None

    def lead(self, offer: Offer, free: Free) -> tuple[TaskQueue, float] | None:
        """The queue whose turn it is on an offer of that kind and with such amounts, of those that are not only there
        for idle pilots; and the seconds since one of its jobs was given."""
        view = self._view(offer)
        self._searches += 1
        search = Wanted(self._searches, view, free, self.limits, 0)
        search.again()
        queue = self._work.root.first(search)
        return (queue.task, self._now - queue.since) if queue else None

    def starved(self, seconds: float, most: int) -> tuple[TaskQueue, ...]:
        """Queues of which no job was given for so long, the longest waiting first; none that are there for idle
        pilots."""
        found = [
            queue
            for queue in self._queues.values()
            if queue.place is not None and queue.place[0] and self._now - queue.since >= seconds
        ]
        found.sort(key=lambda queue: queue.since)
        return tuple(queue.task for queue in found[:most])

    def is_right(self, task: TaskQueue, offer: Offer) -> bool:
        """Whether a queue known here is of the right kind for the offer, and no full limit is in its way there."""
        queue = self._queues.get(task.id)
        view = self._view(offer)
        if queue is None or not view.accepts(queue):
            return False
        return not self.limits.shuts_out(queue.limits & view.limits, task.needs.cores)

    def closed(self, task: TaskQueue, offer: Offer) -> tuple[str, ...]:
        """The names of full limits that keep jobs of a queue from such an offer."""
        bits = self.limits.of_queue(task) & self.limits.at(offer.site, offer.queue)
        return tuple(
            name
            for name in self.limits.names(bits)
            if self.limits.shuts_out(self.limits.bit(name), granted(task.needs, Free.of(offer)))
        )

    def any_fits(self, offer: Offer) -> bool:
        """Whether a job waits that fits the offer."""
        view = self._view(offer)
        self._searches += 1
        return self._first(view, Wanted(self._searches, view, Free.of(offer), self.limits, 0)) is not None

    def fitting(self, offer: Offer) -> Iterator[tuple[TaskQueue, int]]:
        """The queues whose jobs wait and would fit the offer, with their number."""
        view, free = self._view(offer), Free.of(offer)
        for queue in self._queues.values():
            if queue.place is not None and view.accepts(queue) and room(queue.task.needs, free):
                yield queue.task, queue.waiting

    def demand(self, offer: Offer) -> tuple[int, int]:
        """The jobs that wait and would fit the offer, and the cores that they ask for at least."""
        jobs = cores = 0
        for task, waiting in self.fitting(offer):
            jobs += waiting
            cores += waiting * (offer.cores if task.needs.whole_node else task.needs.cores)
        return jobs, cores

    # -- inside: the index ------------------------------------------------------------------------------------------
    def _count(self, row: Waiting) -> Queue:
        queue = self._queues.get(row.queue.id) or self._new(row.queue)
        for priority, count in row.counts.items():
            queue.add(priority, count, row.oldest)
        return queue

    def _new(self, task: TaskQueue) -> Queue:
        account = self.standings.account(task.community, task.group, task.owner)
        queue = Queue(task, account, self._kinds.enter(task), self.limits.of_queue(task), self._now)
        self._queues[task.id] = queue
        self._mentions.learn(task.needs)
        return queue

    def _moved(self, queue: Queue) -> None:
        """The queue's place may have changed."""
        place, before = queue.turn(), queue.place
        if place == before:
            return
        old = None if before is None else self._work if before[0] else self._idle
        new = None if place is None else self._work if place[0] else self._idle
        if old is not None and old is not new:
            old.put(queue, None)
        if new is not None:
            new.put(queue, place)
            queue.emptied = None
        if old is None:
            queue.since = self._now
            self._news.append(queue)
            if len(self._news) > 2 * MAX_NEWS:
                del self._news[:MAX_NEWS]
                self._old_news += MAX_NEWS

    def _forget(self) -> None:
        """Let go of what only dropped queues mentioned."""
        self._gone = 0
        self._mentions = Mentions(self.limits)
        for queue in self._queues.values():
            self._mentions.learn(queue.task.needs)

    def _rebuild(self) -> None:
        """Make everything anew but the counts: there are other limits."""
        self._views.clear()
        self._begin()
        for queue in self._queues.values():
            self._mentions.learn(queue.task.needs)
            queue.limits = self.limits.of_queue(queue.task)
            place, queue.place, queue.party = queue.place, None, None
            if place is not None:
                (self._work if place[0] else self._idle).put(queue, place)

    def _keep_up(self) -> None:
        """Other limits or other levels may have come."""
        standings, limits = self._known
        if limits != self.limits.version:
            self._rebuild()
        elif standings != self.standings.version:
            self._known = (self.standings.version, limits)
            self._work.weighed_all()
            self._idle.weighed_all()

    def _view(self, offer: Offer) -> View:
        self._keep_up()
        look = self._mentions.look(offer)
        view = self._views.get(look)
        if view is None:
            view = self._views[look] = View(look, self.limits.at(look.site, look.queue), self._kinds)
            if len(self._views) > MAX_VIEWS:
                self._views.popitem(last=False)
        else:
            self._views.move_to_end(look)
        view.judge()
        view.hear(self._news[view.read - self._old_news :] if view.read >= self._old_news else None)
        view.read = self._old_news + len(self._news)
        return view

    def _first(self, view: View, search: Wanted) -> Queue | None:
        """The queue whose turn it is, of those that fit."""
        search.again()
        if view.is_barren(search.free):
            return None
        queue = self._work.root.first(search) or self._idle.root.first(search)
        if queue is None and not search.held_up:
            view.found_nothing(search.free)
        return queue
