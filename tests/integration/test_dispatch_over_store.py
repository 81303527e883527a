"""The dispatcher over the store that it is made for: many pilots, disconnections, kills and restarts of the matcher."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from central.clock import SystemClock
from central.dispatching.dispatch import Dispatcher
from central.dispatching.held import Answer
from central.fleet.presence import Presence
from central.records import Leased
from central.store.port import Store
from central.store.sqlite import SqliteStore
from pilot.protocol import MatchRequest, Needs, Offer
from tests.contract.stores import ADA, BOB, Worker, document, enrol, ids, waiting_jobs

PILOTS = 8
ROUNDS = 25
KINDS = (
    Needs(),
    Needs(cores=2),
    Needs(cores=1, max_cores=4, memory_per_core=10),
    Needs(memory=50),
    Needs(tags="fast"),
    Needs(whole_node=True),
)


class Scene:
    """Pilots that ask and people who submit, at the whim of a seed."""

    def __init__(self, store: Store, workers: list[Worker], seed: int) -> None:
        self.store = store
        self.workers = workers
        self.random = random.Random(seed)
        self.seen: list[tuple[str, Leased]] = []
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(self) -> Dispatcher:
        clock = SystemClock()
        return Dispatcher(self.store, Presence(clock.now), clock, 100, self.random.random)

    async def submit(self) -> None:
        spec = {"needs": self.random.choice(KINDS), "priority": self.random.choice((0, 5, 5, 9))}
        who = self.random.choice((ADA, BOB))
        submitted = await self.store.submit(who, [document(self.random.randint(1, 9), **spec)], None, "")
        self.dispatcher.jobs_added(submitted.added)

    async def kill(self, last: int) -> None:
        some = ids(*(self.random.randint(1, last) for _ in range(2)))
        changed = await self.store.change(ADA, None, "kill", some)
        self.dispatcher.jobs_removed(changed.removed)

    async def ask(self, worker: Worker, wait: float) -> None:
        """One match request, whose client may go away."""
        worker.number += 1
        node = Offer(
            site="here",
            queue="local",
            cores=self.random.randint(1, 4),
            memory=100,
            disk=0,
            seconds_left="unlimited",
            tags=self.random.choice(((), ("fast",))),
            communities=("atlas",),
        )
        request = MatchRequest(worker.number, node, most=self.random.randint(1, 4), wait=wait)
        row = await self.store.pilot(worker.stamp)
        asked = asyncio.create_task(self.dispatcher.match(row, request))
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.random() * 0.01)
            asked.cancel()
        answer = (await asyncio.gather(asked, return_exceptions=True))[0]
        if isinstance(answer, Answer):
            self.seen += ((worker.stamp, lease) for lease in answer.leases)
        elif not isinstance(answer, asyncio.CancelledError):
            raise AssertionError(answer)

    async def round(self, number: int) -> None:
        work = [self.ask(worker, wait=0.03) for worker in self.workers]
        work += [self.submit() for _ in range(self.random.randint(0, 3))]
        self.random.shuffle(work)
        await asyncio.gather(*work, self.kill(1 + number * 4))
        if number % 8 == 7:
            self.dispatcher = self.new_dispatcher()
            await self.dispatcher.start()


def test_every_job_goes_out_once_and_the_counts_are_the_stores(tmp_path: Path) -> None:
    """Whatever interleaves, no job is leased twice, none that waits is forgotten, and what fits is handed out."""

    async def run() -> None:
        store = SqliteStore(tmp_path / "central.db")
        await store.open()
        workers = [await enrol(store, number) for number in range(1, PILOTS + 1)]
        scene = Scene(store, workers, seed=20_240_229)
        await scene.dispatcher.start()
        for number in range(ROUNDS):
            await scene.round(number)
        given = Counter((lease.job, lease.attempt) for _, lease in scene.seen)
        assert len(given) > 50
        assert set(given.values()) == {1}
        held = {(live.job, live.attempt) for worker in workers for live in await store.held(worker.stamp)}
        killed = {(job, attempt) for job, attempt in given if (await store.job(None, job)).job.state == "killed"}
        assert set(given) <= held | killed
        known = {queue.id: number for queue, number in scene.dispatcher.queues.queues()}
        stored: Counter[int] = Counter()
        for (queue, _), number in (await waiting_jobs(store)).items():
            stored[queue] += number
        assert known == stored
        await store.close()

    asyncio.run(run())
