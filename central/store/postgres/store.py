"""The verbs of the port over PostgreSQL: which share transactions, which have their own, which only read.

A verb that writes is ``async def verb(db, now, …)`` of a module here, one that reads ``async def verb(db, …)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

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
from central.store.postgres import (
    attempts,
    beats,
    claims,
    documents,
    enrolment,
    leaders,
    ledgers,
    life,
    limits,
    migrate,
    orders,
    pages,
    people,
    pilots,
    prices,
    quick,
    retention,
    sandboxes,
    submission,
    usage,
    views,
    waiting,
)
from central.store.postgres.aside import Aside
from central.store.postgres.connection import checked, connect
from central.store.postgres.gossip import Gossip
from central.store.postgres.group import Group
from central.store.postgres.reports import Reports
from central.store.postgres.transactions import Transactions
from pilot.errors import PilotageError, Refusal
from pilot.protocol import Acknowledgement, AttemptReport, EnrolRequest, GoodbyeRequest, LeaseReport, StepReport
from pilot.states import OrderVerb, PilotReason, PilotState
from pilot.use import UsageRow, WasteRow
from pilot.views import AttemptView, JobDetail, JobPage, JobVerb, MachineLoad, Selection, StepView

if TYPE_CHECKING:
    from central.store.postgres.connection import Database

Call = TypeVar("Call")
Answer = TypeVar("Answer")


class PostgresStore(Aside):
    """The store in one PostgreSQL database, named by a URL without a password. `central.store.port.Store` says what
    each verb means. The time is the server's, unless a `clock` stands in for it."""

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        self.url = checked(url)
        self._clock = clock
        self._gossip = Gossip(url)
        self._documents = documents.Documents()
        self._queues = waiting.Queues()
        self._use = usage.Use()
        self._hot: Transactions
        self._claims: Group[claims.Call, Claim]
        self._odd_claims: Group[claims.Call, Claim]
        self._reports: Reports
        self._releases: Group[attempts.Release, tuple[Requeued, ...]]
        self._beats: Group[Sequence[Beat], None]

    # -- life

    async def open(self) -> None:
        self._transactions = Transactions(await connect(self.url), self._clock, self._gossip.missed)
        try:
            await self._transactions.repeat(migrate.migrate, self.url, migrate.steps())
            self._hot = Transactions(await connect(self.url, hot=True), self._clock, self._gossip.missed)
        except BaseException:  # connections do not outlive a start that failed
            await self._transactions.close()
            raise
        self._claims = Group(self._claim)
        self._odd_claims = self._group(self._claim_odd)
        self._reports = Reports(self._hot)
        self._releases = self._group(attempts.release)
        self._beats = self._group(beats.beat)

    async def close(self) -> None:
        await self._gossip.close()
        await self._hot.close()
        await self._transactions.close()

    async def now(self) -> float:
        return self._clock() if self._clock else await self._transactions.look(leaders.now)

    async def backup(self, path: Path) -> None:
        raise PilotageError(
            f"The backup {path} was not written: this central keeps its jobs in PostgreSQL. Copy that database with "
            "pg_dump, which may run while the central serves."
        )

    async def lead(self, duty: str, holder: str, seconds: float) -> int | None:
        return await self._repeat(leaders.lead, duty, holder, seconds)

    # -- jobs, by people

    async def submit(self, who: Identity, jobs: Sequence[NewJobs], key: str | None, digest: str) -> Submitted:
        prepared = await submission.prepared(jobs)
        write = self._once if key is None else self._repeat
        return await write(submission.submit, who, prepared, key, digest)

    async def submitted_before(self, who: Identity, key: str, digest: str) -> Submitted | None:
        return await self._reader(submission.submitted_before, who, key, digest)

    async def job(self, community: str | None, job: int) -> JobDetail:
        return await self._reader(views.job, community, job)

    async def jobs(
        self, community: str | None, selection: Selection, cursor: str | None, limit: int, counts: bool
    ) -> JobPage:
        return await self._reader(pages.page, community, selection, cursor, limit, counts)

    async def attempts(self, community: str | None, job: int) -> tuple[AttemptView, ...]:
        return await self._reader(views.attempts, community, job)

    async def task_queue(self, job: int) -> Waiting | None:
        return await self._reader(waiting.task_queue, job)

    async def ahead(self, job: int, queues: Sequence[int]) -> int:
        return await self._transactions.look(waiting.ahead, job, queues)

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
        return await self._once(people.change, who, community, verb, selection, priority=priority, reason=reason)

    # -- matching

    async def waiting(self) -> tuple[Waiting, ...]:
        return await self._reader(waiting.waiting)

    async def claim(
        self, stamp: str, agent: int, request: int, picks: Sequence[Pick], epoch: int | None = None
    ) -> Claim:
        """Fewer leases than picked mean that nothing more waited there which no other central was just taking. Should
        that one fail, its jobs wait on although this answer was short: after such a failure `listen` calls with None,
        and whoever counts what waits has to load it anew."""
        return await self._claims.ask(claims.Call(stamp, agent, request, tuple(picks), epoch))

    async def set_limits(self, limits_: Sequence[Limit]) -> None:
        await self._repeat(limits.set_limits, limits_)

    async def limits(self) -> tuple[LimitUse, ...]:
        return await self._transactions.look(limits.limits)

    async def answered(self, stamp: str, agent: int, request: int) -> tuple[Leased, ...] | None:
        return await self._hot.read(claims.answered, self._documents, stamp, agent, request)

    async def return_unseen(
        self, stamp: str, matched_through: Mapping[int, int], held: Sequence[LeaseReport]
    ) -> tuple[Requeued, ...]:
        # Nearly every heartbeat lists all that it was given: a look spares it a transaction.
        out = await self.held(stamp)
        unseen = attempts.unseen(out, matched_through, held)
        if not unseen:
            return ()
        return await self._releases.ask(
            attempts.Release(stamp, unseen, "given back: the pilot does not hold it", started=True)
        )

    async def held(self, stamp: str) -> tuple[LiveAttempt, ...]:
        return await self._hot.look(claims.held, stamp)

    async def live_attempt(self, job: int, attempt: int) -> LiveAttempt:
        return await self._hot.look(claims.live_attempt, job, attempt)

    async def report(self, stamp: str, job: int, attempt: int, report: AttemptReport) -> Ended | None:
        return await self._reports.take(attempts.Report(stamp, job, attempt, report))

    async def release(self, stamp: str, leases: Sequence[tuple[int, int]], why: str) -> tuple[Requeued, ...]:
        message = f"given back unstarted: {why}" if why else "given back unstarted"
        return await self._releases.ask(attempts.Release(stamp, tuple(leases), message))

    async def sweep(self, silent_after: float) -> Swept:
        return await self._repeat(beats.sweep, silent_after)

    # -- pilots

    async def plan_pilot(self, pilot: NewPilot) -> None:
        await self._repeat(pilots.plan, pilot)

    async def submitting(self, stamp: str, duty: str, epoch: int) -> bool:
        return await self._repeat(pilots.submitting, stamp, duty, epoch)

    async def renew_secret(self, stamp: str, secret_hash: str, ttl: float) -> None:
        await self._repeat(pilots.renew_secret, stamp, secret_hash, ttl)

    async def submitted(self, stamp: str, reference: str) -> None:
        await self._repeat(pilots.submitted, stamp, reference)

    async def end_pilot(
        self, stamp: str, state: PilotState, reason: PilotReason, message: str = ""
    ) -> tuple[Ended, ...]:
        return await self._repeat(pilots.end, stamp, state, reason, message)

    async def pilot(self, stamp: str) -> PilotRow:
        return await self._hot.look(pilots.pilot, stamp)  # of each that speaks, every few seconds

    async def find_pilots(self, stamps: Sequence[str]) -> tuple[PilotRow, ...]:
        return await self._reader(pilots.find, stamps)

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
        return await self._reader(pilots.pilots, community, states, queue, site, cursor, limit)

    async def pilot_counts(self, queues: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        return await self._reader(pilots.counts_of, queues)

    async def machine_loads(self, stamp: str) -> tuple[MachineLoad, ...]:
        return await self._reader(pilots.loads, stamp)

    async def live_queues(self) -> tuple[str, ...]:
        return await self._reader(pilots.live_queues)

    async def live_pilots(self, queue: str) -> tuple[PilotRow, ...]:
        return await self._reader(pilots.live, queue)

    async def enrol(self, stamp: str, secret_hash: str, key_hash: str, request: EnrolRequest) -> PilotRow:
        answer = await self._repeat(enrolment.enrol, stamp, secret_hash, key_hash, request)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def resume(self, stamp: str, key_hash: str, epoch: int, instance: str) -> tuple[PilotRow, tuple[Ended, ...]]:
        return await self._repeat(enrolment.resume, stamp, key_hash, epoch, instance)

    async def beat(self, beats_: Sequence[Beat]) -> None:
        if beats_:
            await self._beats.ask(beats_)

    async def bind(self, stamp: str, community: str) -> str:
        return await self._repeat(pilots.bind, stamp, community)

    async def drain(self, stamp: str) -> None:
        await self._repeat(life.drain, stamp)

    async def goodbye(self, stamp: str, request: GoodbyeRequest) -> tuple[Ended, ...]:
        return await self._repeat(life.goodbye, stamp, request)

    async def step(self, stamp: str, step: StepReport) -> None:
        await self._repeat(life.step, stamp, step)

    async def steps(self, stamp: str) -> tuple[StepView, ...]:
        return await self._reader(life.steps, stamp)

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
        return await self._once(
            orders.order, stamp, verb, who=who, job=job, attempt=attempt, argument=argument, reason=reason
        )

    async def open_orders(self) -> tuple[OrderRow, ...]:
        return await self._reader(orders.open_orders)

    async def orders(self, stamp: str) -> tuple[OrderRow, ...]:
        return await self._reader(orders.orders, stamp)

    async def acknowledge(self, stamp: str, acknowledgements: Sequence[Acknowledgement]) -> None:
        await self._repeat(orders.acknowledge, stamp, acknowledgements)

    # -- sandboxes

    async def sandbox(self, community: str, sha256: str) -> int | None:
        return await self._reader(sandboxes.sandbox, community, sha256)

    async def add_sandbox(self, community: str, sha256: str, size: int, sender: Sender = NOBODY) -> None:
        await self._repeat(sandboxes.add_sandbox, community, sha256, size, sender)

    async def sandbox_bytes(self, community: str, owner: str) -> int:
        return await self._reader(sandboxes.sandbox_bytes, community, owner)

    # -- use

    async def consumed(self, half_life: float) -> tuple[Consumed, ...]:
        return await self._reader(self._use.consumed, await self.now(), half_life)

    async def usage(
        self, community: str | None, *, by: Sequence[str], since: float, until: float, span: float | None
    ) -> tuple[UsageRow, ...]:
        return await self._reader(usage.usage, community, by=by, since=since, until=until, span=span)

    async def waste(
        self, community: str | None, *, by: Sequence[str], since: float, until: float | None, site: str | None = None
    ) -> tuple[WasteRow, ...]:
        return await self._reader(ledgers.waste, community, by=by, since=since, until=until, site=site)

    async def bought(self, *, since: float, until: float, limit: int) -> tuple[Bought, ...]:
        return await self._reader(prices.bought, since, until, limit)

    async def unpriced(self, *, since: float, until: float) -> int:
        return await self._reader(prices.unpriced, since, until)

    async def roll_up(self) -> int:
        return await self._repeat(usage.roll_up)

    async def retire(self, before: float, limit: int) -> int:
        return await self._repeat(retention.retire, before, limit)

    # -- several centrals

    async def tell(self, word: str) -> None:
        await self._transactions.look(self._gossip.tell, word)

    async def listen(self, heard: Callable[[str | None], None]) -> None:
        await self._gossip.listen(heard)

    # -- figures

    def commits(self) -> tuple[int, int]:
        """Commits so far, and the verbs that they made durable: how well concurrent ones share a commit."""
        both = (self._hot, self._transactions)
        return sum(one.commits for one in both), sum(one.verbs for one in both)

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        return {"jobs": await self._reader(pages.counts), "pilots": await self._reader(pilots.counts)}

    # -- how

    def _group(
        self, verb: Callable[[Database, float, Sequence[Call]], Awaitable[Sequence[Answer | Refusal]]]
    ) -> Group[Call, Answer]:
        async def work(calls: Sequence[Call]) -> Sequence[Answer | Refusal]:
            answers = await self._hot.repeat(verb, calls)
            self._hot.shared(len(calls) - 1)
            return answers

        return Group(work)

    async def _claim(self, calls: Sequence[claims.Call]) -> Sequence[Claim | BaseException]:
        """The usual way, and for what it leaves alone the general one."""
        taken = await self._hot.alone(quick.take, self._documents, self._queues, calls)
        self._hot.shared(len(calls) - len(taken.left) - 1)
        answers: list[Claim | BaseException | None] = [*taken.answers(len(calls))]
        odd = [call for call, answer in zip(calls, answers, strict=True) if answer is None]
        further = iter(await asyncio.gather(*map(self._odd_claims.ask, odd), return_exceptions=True) if odd else ())
        return [next(further) if answer is None else answer for answer in answers]

    async def _claim_odd(self, db: Database, now: float, calls: Sequence[claims.Call]) -> Sequence[Claim | Refusal]:
        return await claims.claim(db, now, self._documents, self._queues, calls)
