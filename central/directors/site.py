"""The site director of one queue: journal the intent, submit, follow, and never double after a crash.

Every cycle reads what is stored and what the computing element lists, so that a cycle of a central that has just
started is the same as any other. External effects happen only while this central leads, and each submission is fenced
by the leader's epoch in the store.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from central.directors.control import Decision, Demand, Limits, PilotEnd, Supply, wanted
from central.directors.follow import Step, follow
from central.elements.port import ComputingElement, ComputingError, Listed, Request, Submission
from central.records import Ended, NewPilot, PilotRow
from central.store.port import Store
from pilot.states import LIVE_PILOT, PilotReason, PilotState

log = logging.getLogger(__name__)

#: Ended pilots that the decision looks back on.
HISTORY = 20
#: Characters of a dead pilot's output kept as the reason.
LAST_WORDS = 2000
#: Characters of a pilot's message in a decision.
ONE_LINE = 300


@dataclass(frozen=True)
class QueuePlan:
    """What a director must know of its queue. Seconds."""

    name: str
    site: str
    communities: tuple[str, ...]
    limits: Limits
    request: Request  # of each pilot
    lease: int
    secret_ttl: float
    life: float | None  # of a pilot


class SiteDirector:
    """Keeps one queue supplied with the pilots that its waiting jobs need."""

    def __init__(
        self,
        plan: QueuePlan,
        store: Store,
        computing: ComputingElement,
        *,
        duty: str,
        demand: Callable[[], Demand],
        idle_cores: Callable[[Sequence[str]], int],  # free on pilots with these stamps
        unfit: Callable[[], Awaitable[str]],
        script: Callable[[str], str],
        over: Callable[[PilotRow, PilotState, PilotReason, Sequence[Ended]], None],
    ) -> None:
        self.plan = plan
        self.store = store
        self.computing = computing
        self.duty = duty
        self.demand = demand
        self.idle_cores = idle_cores
        self.unfit = unfit  # why no pilot of this queue could run; empty: nothing is known against it
        self.script = script  # stamp → the wrapper's text
        self.over = over  # told of every pilot that the director closes
        self.decision = Decision(0, "the director has not looked yet")

    async def cycle(self, epoch: int) -> None:
        """One turn: follow what is out, then submit what is missing. `epoch` is that of the leadership."""
        now = await self.store.now()
        try:
            listed = {entry.stamp: entry for entry in await self.computing.listing()}
        except ComputingError as error:
            self.decision = Decision(0, f"the computing element could not be asked: {error}")
            return
        why = await self._closed()
        live, _ = await self.store.pilots(None, states=sorted(LIVE_PILOT), queue=self.plan.name, limit=100_000)
        for row in live:
            await self._act(row, listed.get(row.stamp), epoch, now, bool(why))
        await self._clear({row.stamp for row in live}, listed, now)
        if why:
            self.decision = Decision(0, why)
        else:
            await self._supply(epoch, now)

    async def _closed(self) -> str:
        """Why nothing is to be submitted, whatever waits; empty: nothing speaks against it."""
        paused = next((pause for pause in await self.store.pauses() if pause.queue == self.plan.name), None)
        return str(paused) if paused else await self.unfit()

    async def _act(self, row: PilotRow, entry: Listed | None, epoch: int, now: float, closed: bool) -> None:
        action = follow(row, entry, now, self.computing.lag)
        if action.step is Step.ADOPT and entry:
            await self.store.submitted(row.stamp, entry.reference)
        elif action.step is Step.RESUBMIT and not closed:
            await self._submit([row.stamp], epoch, fresh=False)
        elif action.step is Step.CANCEL:
            await self._cancel(row.reference or (entry.reference if entry else ""))
        elif action.step is Step.END and action.state and action.reason:
            await self._end(row, entry, action.state, action.reason)

    async def _end(self, row: PilotRow, entry: Listed | None, state: PilotState, reason: PilotReason) -> None:
        output = await self.computing.output(row.stamp, row.reference)
        words = output.decode("utf-8", "replace").strip()[-LAST_WORDS:]
        code = f"exit code {entry.exit_code}" if entry and entry.exit_code is not None else "no exit code"
        message = f"{reason.value}, {code}; its last words: {words or 'none'}"
        await self._close(row, state, reason, message)

    async def _close(self, row: PilotRow, state: PilotState, reason: PilotReason, message: str) -> None:
        log.warning("Pilot %s of queue %s is %s: %s", row.stamp, self.plan.name, state.value, message)
        self.over(row, state, reason, await self.store.end_pilot(row.stamp, state, reason, message))

    async def _clear(self, live: set[str], listed: dict[str, Listed], now: float) -> None:
        """What the computing element has and no live pilot answers to: ended ones are forgotten, unknown ones ended."""
        for stamp, entry in listed.items():
            if stamp in live:
                continue
            row = await self._known(stamp)
            action = follow(row, entry, now, self.computing.lag)
            if action.step is Step.FORGET:
                await self.computing.forget(stamp, entry.reference)
            elif action.step is Step.CANCEL:
                log.warning("pilot %s is at queue %s but not in the journal: it is ended", stamp, self.plan.name)
                await self._cancel(entry.reference)

    async def _known(self, stamp: str) -> PilotRow | None:
        rows = await self.store.find_pilots([stamp])
        return rows[0] if rows else None

    async def _cancel(self, reference: str) -> None:
        for failure in (await self.computing.cancel([reference])).values():
            log.warning("queue %s: %s", self.plan.name, failure)

    async def _supply(self, epoch: int, now: float) -> None:
        live, _ = await self.store.pilots(None, states=sorted(LIVE_PILOT), queue=self.plan.name, limit=100_000)
        final = sorted(set(PilotState) - LIVE_PILOT)
        over, _ = await self.store.pilots(None, states=final, queue=self.plan.name, limit=HISTORY)
        history = sorted(map(_end_of, over), key=lambda end: end.ended, reverse=True)
        coming = sum(row.enrolled is None for row in live)
        running = [row.stamp for row in live if row.state is PilotState.RUNNING]
        supply = Supply(len(live), coming, self.idle_cores(running))
        self.decision = wanted(self.demand(), supply, self.plan.limits, history, now)
        stamps = [secrets.token_hex(16) for _ in range(self.decision.pilots)]
        if stamps:
            log.info("queue %s: %s", self.plan.name, self.decision.why)
            await self._submit(stamps, epoch, fresh=True)

    async def _submit(self, stamps: Sequence[str], epoch: int, *, fresh: bool) -> None:
        """Journal, then submit. A stamp that was journalled before (`fresh` is false) gets a new secret."""
        submissions: list[Submission] = []
        for stamp in stamps:
            secret = secrets.token_urlsafe(32)
            digest = hashlib.sha256(secret.encode()).hexdigest()
            if fresh:
                await self.store.plan_pilot(self._intent(stamp, digest))
            else:
                await self.store.renew_secret(stamp, digest, self.plan.secret_ttl)
            if await self.store.submitting(stamp, self.duty, epoch):
                submissions.append(Submission(stamp, self.script(stamp), secret, self.plan.request))
        for stamp, result in (await self.computing.submit(submissions)).items():
            if not isinstance(result, ComputingError):
                await self.store.submitted(stamp, result)
            elif not result.transient:
                row = await self.store.pilot(stamp)
                await self._close(row, PilotState.FAILED, PilotReason.SUBMIT_FAILED, str(result))
            else:  # it stays in the journal, and the next cycle looks for it before it submits again
                log.warning("queue %s: %s", self.plan.name, result)

    def _intent(self, stamp: str, digest: str) -> NewPilot:
        plan = self.plan
        return NewPilot(
            stamp=stamp,
            site=plan.site,
            queue=plan.name,
            communities=plan.communities,
            secret_hash=digest,
            secret_ttl=plan.secret_ttl,
            lease=plan.lease,
            end_of_life=plan.life,
        )


def _end_of(row: PilotRow) -> PilotEnd:
    line = row.message.partition("\n")[0][:ONE_LINE]
    return PilotEnd(row.ended or row.created, row.reason, row.leases > 0, line)
