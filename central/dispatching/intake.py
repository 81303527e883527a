"""Keeps the counts of the task queues in step with the store: read at the start, and told of changes afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from central.dispatching.held import HeldRequests
from central.matching.task_queues import TaskQueues
from central.records import Requeued, TaskQueue, Waiting
from central.store.port import Store
from pilot.errors import PilotageError

log = logging.getLogger(__name__)


class Intake:
    """Tells the index and the requests that wait of every job that comes to wait or stops waiting."""

    def __init__(self, store: Store, queues: TaskQueues, held: HeldRequests) -> None:
        self._store = store
        self._queues = queues
        self._held = held
        self._loading: list[Waiting] | None = None  # what was added while the counts are being read
        self._fetching: dict[int, list[Requeued]] = {}  # queue → jobs that came back while it is being read
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Read all counts anew: corrects what drifted, and finds what other centrals added."""
        if self._loading is not None:
            return
        self._loading = []
        try:
            waiting = await self._store.waiting()
            # What came in meanwhile may be in there as well: counted twice it costs a claim, not at all it would wait.
            self._queues.load(waiting)
            self._queues.add(self._loading)
        finally:
            self._loading = None
        self._held.serve_all()

    def added(self, added: Sequence[Waiting]) -> None:
        if self._loading is not None:
            self._loading.extend(added)
        self._queues.add(added)
        self._held.serve([waiting.queue for waiting in added])

    def removed(self, removed: Sequence[Requeued]) -> None:
        for job in removed:
            self._queues.remove(job)

    def requeued(self, requeued: Sequence[Requeued]) -> None:
        back: dict[int, TaskQueue] = {}
        for job in requeued:
            task = self._queues.task(job.queue)
            if task is None:
                self._fetch(job)
                continue
            back[task.id] = task
            if self._loading is not None:
                self._loading.append(Waiting(task, {job.priority: 1}, job.job))
            self._queues.requeue(job)
        self._held.serve(list(back.values()))

    def _fetch(self, job: Requeued) -> None:
        """Read a queue that is not known here, because no job has waited in it for a while."""
        if job.queue in self._fetching:
            self._fetching[job.queue].append(job)
            return
        self._fetching[job.queue] = []
        task = asyncio.get_running_loop().create_task(self._fetched(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetched(self, job: Requeued) -> None:
        try:
            waiting = await self._store.task_queue(job.job)
        except (PilotageError, OSError) as error:
            log.warning("The task queue of job %d cannot be read; it waits until all are read: %s", job.job, error)
            waiting = None
        later = self._fetching.pop(job.queue)
        if waiting is None:
            return
        if self._queues.task(job.queue) is None:
            self.added([waiting])
        else:
            later.append(job)  # jobs were added meanwhile, which made it known
        self.requeued(later)
