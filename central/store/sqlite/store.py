"""The verbs of the port over SQLite: which go through the writer, which are read beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from central.people import NOBODY, Sender
from central.records import (
    Beat,
    Bought,
    Changed,
    Claim,
    Consumed,
    Ended,
    Identity,
    Leased,
    Limit,
    LimitUse,
    LiveAttempt,
    NewJobs,
    NewPilot,
    OrderRow,
    Pick,
    PilotRow,
    Requeued,
    Submitted,
    Swept,
    Waiting,
)
from central.store.sqlite import (
    accounting,
    attempts,
    backup,
    enrolment,
    leaders,
    ledgers,
    life,
    matching,
    orders,
    pages,
    people,
    pilots,
    prices,
    retention,
    sandboxes,
    submission,
    views,
    waiting,
)
from central.store.sqlite import limits as limiting
from central.store.sqlite import usage as used
from central.store.sqlite.aside import Aside
from central.store.sqlite.connection import connect_reader, connect_writer
from central.store.sqlite.decay import Decay
from central.store.sqlite.documents import Templates
from central.store.sqlite.migrate import migrate, steps
from central.store.sqlite.readers import Readers
from central.store.sqlite.writer import Writer
from pilot.errors import Refusal
from pilot.protocol import Acknowledgement, AttemptReport, EnrolRequest, GoodbyeRequest, LeaseReport, StepReport
from pilot.states import OrderVerb, PilotReason, PilotState
from pilot.use import UsageRow, WasteRow
from pilot.views import AttemptView, JobDetail, JobPage, JobVerb, MachineLoad, Selection, StepView

#: Threads that read. More than cores, so that one long list does not hold up the short questions.
READERS = 4


class SqliteStore(Aside):
    """The store in one file; the database's time is `clock`. `central.store.port.Store` says what each verb means."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._writer: Writer
        self._readers: Readers
        self._decay = Decay()
        self._templates = Templates()

    # -- life

    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        database = connect_writer(self.path)
        try:
            migrate(database, self.path, steps(), self._clock())
            self._readers = Readers([connect_reader(self.path) for _ in range(READERS)], connect_reader(self.path))
        except BaseException:  # the connection does not outlive a start that failed
            database.close()
            raise
        self._writer = Writer(database, self._clock)
        self._writer.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.close)

    async def now(self) -> float:
        return self._clock()

    async def backup(self, path: Path) -> None:
        await asyncio.to_thread(backup.backup, self.path, path)

    async def lead(self, duty: str, holder: str, seconds: float) -> int | None:
        return await self._writer.run(leaders.lead, duty, holder, seconds)

    # -- jobs, by people

    async def submit(self, who: Identity, jobs: Sequence[NewJobs], key: str | None, digest: str) -> Submitted:
        prepared = await self._readers.aside(submission.prepare, jobs)
        run = self._writer.run_alone if sum(one.jobs for one in prepared) > submission.BULK else self._writer.run
        return await run(submission.submit, who, prepared, key, digest)

    async def submitted_before(self, who: Identity, key: str, digest: str) -> Submitted | None:
        return await self._readers.run(submission.submitted_before, who, key, digest)

    async def job(self, community: str | None, job: int) -> JobDetail:
        return await self._readers.run(views.job, community, job)

    async def jobs(
        self, community: str | None, selection: Selection, cursor: str | None, limit: int, counts: bool
    ) -> JobPage:
        return await self._readers.run(pages.page, community, selection, cursor, limit, counts)

    async def attempts(self, community: str | None, job: int) -> tuple[AttemptView, ...]:
        return await self._readers.run(views.attempts, community, job)

    async def task_queue(self, job: int) -> Waiting | None:
        return await self._readers.run(waiting.task_queue, job)

    async def ahead(self, job: int, queues: Sequence[int]) -> int:
        return await self._readers.run(waiting.ahead, job, queues)

    async def change(
        self,
        who: Identity,
        community: str | None,
        verb: JobVerb,
        selection: Selection,
        *,
        priority: int | None = None,
        reason: str = "",
    ) -> Changed:
        return await self._writer.run(people.change, who, community, verb, selection, priority=priority, reason=reason)

    # -- matching

    async def waiting(self) -> tuple[Waiting, ...]:
        return await self._readers.run(waiting.waiting)

    async def claim(
        self, stamp: str, agent: int, request: int, picks: Sequence[Pick], epoch: int | None = None
    ) -> Claim:
        given = await self._writer.run(matching.claim, self._templates, stamp, agent, request, picks, epoch)
        return Claim(matching.filled(self._templates, given), given.reason, given.limited)

    async def set_limits(self, limits: Sequence[Limit]) -> None:
        await self._writer.run(limiting.set_limits, limits)

    async def limits(self) -> tuple[LimitUse, ...]:
        return await self._readers.run(limiting.limits)

    async def answered(self, stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
        given = self._readers.at_once(matching.answered, self._templates, stamp, agent, request)
        return None if given is None else matching.filled(self._templates, given)

    async def return_unseen(
        self, stamp: str, matched_through: Mapping[int, int], held: Sequence[LeaseReport]
    ) -> tuple[Requeued, ...]:
        # Nearly every heartbeat lists all that it was given: a look beside the writer spares it a transaction.
        out = self._readers.by_one(matching.held, stamp)
        if not attempts.unseen(out, matched_through, held):
            return ()
        return await self._writer.run(attempts.return_unseen, stamp, matched_through, held)

    async def held(self, stamp: str) -> tuple[LiveAttempt, ...]:
        return self._readers.by_one(matching.held, stamp)

    async def live_attempt(self, job: int, attempt: int) -> LiveAttempt:
        return self._readers.by_one(matching.live_attempt, job, attempt)

    async def report(self, stamp: str, job: int, attempt: int, report: AttemptReport) -> Ended | None:
        return await self._writer.run(attempts.report, stamp, job, attempt, report)

    async def release(self, stamp: str, leases: Sequence[tuple[int, int]], why: str) -> tuple[Requeued, ...]:
        return await self._writer.run(attempts.release, stamp, leases, why)

    async def sweep(self, silent_after: float) -> Swept:
        return await self._writer.run(life.sweep, silent_after)

    # -- pilots

    async def plan_pilot(self, pilot: NewPilot) -> None:
        await self._writer.run(pilots.plan, pilot)

    async def submitting(self, stamp: str, duty: str, epoch: int) -> bool:
        return await self._writer.run(pilots.submitting, stamp, duty, epoch)

    async def renew_secret(self, stamp: str, secret_hash: str, ttl: float) -> None:
        await self._writer.run(pilots.renew_secret, stamp, secret_hash, ttl)

    async def submitted(self, stamp: str, reference: str) -> None:
        await self._writer.run(pilots.submitted, stamp, reference)

    async def end_pilot(
        self, stamp: str, state: PilotState, reason: PilotReason, message: str = ""
    ) -> tuple[Ended, ...]:
        return await self._writer.run(pilots.end, stamp, state, reason, message)

    async def pilot(self, stamp: str) -> PilotRow:
        return self._readers.at_once(pilots.pilot, stamp)

    async def find_pilots(self, stamps: Sequence[str]) -> tuple[PilotRow, ...]:
        return await self._readers.run(pilots.find, stamps)

    async def pilots(
        self,
        community: str | None,
        *,
        states: Sequence[PilotState] = (),
        queue: str | None = None,
        site: str | None = None,
        cursor: str | None = None,
        limit: int = 1000,
    ) -> tuple[tuple[PilotRow, ...], str | None]:
        return await self._readers.run(pilots.pilots, community, states, queue, site, cursor, limit)

    async def pilot_counts(self, queues: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        return await self._readers.run(pilots.counts_of, queues)

    async def machine_loads(self, stamp: str) -> tuple[MachineLoad, ...]:
        return await self._readers.run(pilots.loads, stamp)

    async def live_queues(self) -> tuple[str, ...]:
        return await self._readers.run(pilots.live_queues)

    async def live_pilots(self, queue: str) -> tuple[PilotRow, ...]:
        return await self._readers.run(pilots.live, queue)

    async def enrol(self, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest) -> PilotRow:
        answer = await self._writer.run(enrolment.enrol, stamp, secret_hash, key_hash, request)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def resume(self, stamp: str, key_hash: str, epoch: int, instance: str) -> tuple[PilotRow, tuple[Ended, ...]]:
        return await self._writer.run(enrolment.resume, stamp, key_hash, epoch, instance)

    async def beat(self, beats: Sequence[Beat]) -> None:
        await self._writer.run(life.beat, beats)

    async def bind(self, stamp: str, community: str) -> str:
        return await self._writer.run(pilots.bind, stamp, community)

    async def drain(self, stamp: str) -> None:
        await self._writer.run(life.drain, stamp)

    async def goodbye(self, stamp: str, request: GoodbyeRequest) -> tuple[Ended, ...]:
        return await self._writer.run(life.goodbye, stamp, request)

    async def step(self, stamp: str, step: StepReport) -> None:
        await self._writer.run(life.step, stamp, step)

    async def steps(self, stamp: str) -> tuple[StepView, ...]:
        return await self._readers.run(life.steps, stamp)

    # -- orders

    async def order(
        self,
        stamp: str,
        verb: OrderVerb,
        *,
        who: str,
        job: int | None = None,
        attempt: int | None = None,
        argument: str = "",
        reason: str = "",
    ) -> int:
        return await self._writer.run(
            orders.order, stamp, verb, who=who, job=job, attempt=attempt, argument=argument, reason=reason
        )

    async def open_orders(self) -> tuple[OrderRow, ...]:
        return await self._readers.run(orders.open_orders)

    async def orders(self, stamp: str) -> tuple[OrderRow, ...]:
        return await self._readers.run(orders.orders, stamp)

    async def acknowledge(self, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
        await self._writer.run(orders.acknowledge, stamp, acknowledgements)

    # -- sandboxes

    async def sandbox(self, community: str, sha256: str) -> int | None:
        return await self._readers.run(sandboxes.sandbox, community, sha256)

    async def add_sandbox(self, community: str, sha256: str, size: int, sender: Sender = NOBODY) -> None:
        await self._writer.run(sandboxes.add_sandbox, community, sha256, size, sender)

    async def sandbox_bytes(self, community: str, owner: str) -> int:
        return await self._readers.run(sandboxes.sandbox_bytes, community, owner)

    # -- use

    async def consumed(self, half_life: float) -> tuple[Consumed, ...]:
        return await self._readers.run(self._decay.consumed, self._clock(), half_life)

    async def usage(
        self, community: str | None, *, by: Sequence[str], since: float, until: float, span: float | None
    ) -> tuple[UsageRow, ...]:
        return await self._readers.run(used.usage, community, by, since, until, span)

    async def waste(
        self, community: str | None, *, by: Sequence[str], since: float, until: float | None, site: str | None = None
    ) -> tuple[WasteRow, ...]:
        return await self._readers.run(ledgers.waste, community, by, since, until, site)

    async def bought(self, *, since: float, until: float, limit: int) -> tuple[Bought, ...]:
        return await self._readers.run(prices.bought, since, until, limit)

    async def unpriced(self, *, since: float, until: float) -> int:
        return await self._readers.run(prices.unpriced, since, until)

    async def roll_up(self) -> int:
        await self._writer.run(accounting.begin_sums)
        return await self._writer.run(accounting.keep_sums, await self._readers.run(accounting.sums))

    async def retire(self, before: float, limit: int) -> int:
        return await self._writer.run(retention.retire, before, limit)

    # -- several centrals: there is one over a file

    async def tell(self, word: str) -> None:
        """Nobody else is there to hear it."""

    async def listen(self, heard: Callable[[str | None], None]) -> None:
        """Nobody else is there to be heard."""

    # -- figures

    def commits(self) -> tuple[int, int]:
        """Commits so far, and the verbs that they made durable: how well concurrent ones share a commit."""
        return self._writer.commits, self._writer.verbs

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return {"jobs": await self._readers.run(pages.counts), "pilots": await self._readers.run(pilots.counts)}
