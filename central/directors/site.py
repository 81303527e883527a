"""The site director of one queue: journal the intent, submit, follow, and never double after a crash.

Every cycle reads what is stored and what the computing element lists, so that a cycle of a central that has just
started is the same as any other. External effects happen only while this central leads, and each submission is fenced
by the leader's epoch in the store. What the computing element does not do is told in the decision, and the rest goes
on. It is asked for one list a cycle, however many pilots there are.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from central.directors.backoff import Gate, Past, PilotEnd, Setback
from central.directors.board import PROMISE, Board, Wait, demand
from central.directors.choosing import aside
from central.directors.control import Cause, Decision, Supply, wanted
from central.directors.following import ONE_LINE, Following, Turn
from central.directors.plan import QueuePlan
from central.directors.submitting import Handed, Submitting
from central.directors.tidying import WORDS_ARE
from central.directors.vacuum import kept
from central.directors.worth import Worth
from central.elements.port import ComputingElement, ComputingError, Trouble
from central.records import PilotRow
from central.store.port import Store
from pilot.states import LIVE_PILOT, PilotReason, PilotState

log = logging.getLogger(__name__)

#: Ended pilots that the decision looks back on.
HISTORY = 20
#: Seconds until demand that may be brief is looked at again: pilots that run take what fits them in less.
SECOND_LOOK = 3.0
#: Seconds after it has enrolled in which a pilot that has asked for nothing yet is expected to.
LOOKS_AROUND = 300.0
#: Different words of the computing element about waiting pilots that are told.
WORDS = 3
_FINAL = sorted(set(PilotState) - LIVE_PILOT)


class SiteDirector:
    """Keeps one queue supplied with the pilots that its waiting jobs need."""

    def __init__(
        self,
        plan: QueuePlan,
        store: Store,
        computing: ComputingElement,
        submitting: Submitting,
        following: Following,
        board: Board,
        worth: Worth,
        *,
        waiting: Callable[[], Awaitable[Sequence[Wait]]],  # jobs that fit the queue
        idle_cores: Callable[[Sequence[str]], int],  # free on pilots with these stamps
        asks: Callable[[str], bool],  # whether a pilot with this stamp has asked for jobs
        unfit: Callable[[], Awaitable[str]],  # why no pilot of this queue could run; empty: nothing is known against it
        rest: Callable[[float], Awaitable[None]],  # for so many seconds
    ) -> None:
        self.plan = plan
        self.store = store
        self.computing = computing
        self.submitting = submitting
        self.following = following
        self.board = board
        self.worth = worth
        self.waiting = waiting
        self.idle_cores = idle_cores
        self.asks = asks
        self.unfit = unfit
        self.rest = rest
        self.decision = Decision(0, "the director has not looked yet", Cause.NEW)
        self.looked = 0.0  # when it decided last, in seconds since the epoch
        self.since = 0.0  # since when that comes from the same cause
        self.waits: tuple[tuple[str, int], ...] = ()  # what the computing element says of pilots that wait, how many
        self._setback: Setback | None = None
        self._wanting: float | None = None  # since when jobs that fit the queue have waited at each look

    async def cycle(self, epoch: int) -> None:
        """One turn: follow what is out, then submit what is missing. `epoch` is that of the leadership."""
        now = await self.store.now()
        self.submitting.leads(epoch, now)
        try:
            listed = await self.computing.listing()
        except ComputingError as error:
            self._held_up(error, now)
            self._decide(
                Decision(0, f"the computing element could not be asked: {error}", Cause(error.trouble.value)), now
            )
            return
        closed = await self._closed()
        turn = await self.following.turn(listed, now)
        self.waits = turn.waits()
        await self.following.tidy(turn, listed)
        await self._send_tests(turn)
        if closed:
            self._decide(Decision(0, closed, Cause.CLOSED), now)
        else:
            await self._supply(turn)
            if self.decision.cause is Cause.BRIEF:
                await self.rest(SECOND_LOOK)
                turn.now = await self.store.now()
                await self._supply(turn)

    def _decide(self, decision: Decision, now: float) -> None:
        if decision.cause is not self.decision.cause or not self.since:
            self.since = now
        self.decision, self.looked = decision, now

    def _held_up(self, error: ComputingError, now: float) -> None:
        words = " ".join(str(error).split())[:ONE_LINE]
        before = self._setback
        self._setback = before.again(error.trouble, words, now) if before else Setback(error.trouble, words, now)

    async def _closed(self) -> str:
        """Why nothing is to be submitted, whatever waits; empty: nothing speaks against it."""
        stops = (pause for pause in await self.store.pauses() if pause.stops(self.plan.name, self.plan.site))
        paused = next(stops, None)
        return str(paused) if paused else await self.unfit()

    async def _send_tests(self, turn: Turn) -> None:
        """Hand over pilots that were asked for to see what becomes of them, and take no jobs: whatever waits, and also
        while the queue is closed."""
        tests = [row for row in turn.again if row.draining]
        if tests:
            turn.again = [row for row in turn.again if not row.draining]
            await self._refused(await self.submitting.hand_over(tests, 0), turn)

    # -- pilots that are missing ------------------------------------------------------------------------------------
    async def _supply(self, turn: Turn) -> None:
        over, _ = await self.store.pilots(None, states=_FINAL, queue=self.plan.name, limit=HISTORY)
        history = sorted(map(_end_of, over), key=lambda end: end.ended, reverse=True)
        waiting = await self.waiting()
        await self.worth.look(turn.now)
        # From here to what is written on the board there is no wait, so that two directors do not see the same jobs.
        name, now = self.plan.name, turn.now
        left = self.board.left(name, waiting, now)
        self._wanting = (self._wanting or now) if waiting else None
        supply, promised = self._supplied(turn.supply, now)
        limits = self.plan.limits
        good = max((row.enrolled for row in turn.live if row.leases and row.enrolled), default=None)
        need = self.decision.need - self.decision.pilots if self.looked else None
        past = Past(history, self._setback, good, self._wanting, need)
        oldest = min((row.created for row in turn.supply if row.enrolled is None), default=None)
        door = self.worth.door(name, supply, limits, past, oldest, now)
        trusted = self.worth.trusted(past, now)
        if trusted.gate is Gate.SHUT:
            decision = Decision(0, trusted.why, Cause.BACK_OFF, trusted.until)
        elif self.plan.keep:
            decision = kept(self.plan.keep, supply, limits, past, now)
        else:
            rest = aside(door, self.board.doors(now), self.board.seen(name, left) if self.worth.hour else left)
            decision = wanted(demand(waiting, left, rest), supply, limits, past, now)
        self.board.write(name, left, promised + decision.pilots * limits.cores, now, door.after(decision.pilots))
        self._decide(self._worded(decision), now)
        if decision.pilots:
            log.info("queue %s: %s", name, decision.why)
            pilots = await self._room(decision.pilots, turn) if self.plan.machines else decision.pilots
            taken = await self._submit(turn, pilots) if pilots else 0
            self.board.write(name, left, promised + taken * limits.cores, now, door.after(taken))

    def _supplied(self, live: Sequence[PilotRow], now: float) -> tuple[Supply, float]:
        """What the queue's pilots are worth, and the cores of those that may have their jobs for themselves."""
        coming = [row for row in live if not row.draining and self._is_coming(row, now)]
        idle = self.idle_cores([row.stamp for row in live if row.state is PilotState.RUNNING])
        fresh = sum(now - row.created <= PROMISE for row in coming)
        return Supply(len(live), len(coming), idle), idle + fresh * self.plan.limits.cores

    def _is_coming(self, row: PilotRow, now: float) -> bool:
        """Whether it has not asked for jobs yet, and will: it has not called, or looks at its machine first."""
        if row.enrolled is None:
            return True
        return not row.leases and now - row.enrolled < LOOKS_AROUND and not self.asks(row.stamp)

    def _worded(self, decision: Decision) -> Decision:
        """The decision with what the computing element says of the pilots that wait there."""
        if not self.waits:
            return decision
        told = "; ".join(f"{count:,} of them: {words}" for words, count in self.waits[:WORDS])
        where = "machines have not called yet" if self.plan.machines else "pilots wait in the batch queue"
        return replace(decision, why=f"{decision.why}; {where} ({told})")

    async def _room(self, pilots: int, turn: Turn) -> int:
        """How many of so many machines the account has room for, as its cloud says now."""
        try:
            room = await self.computing.capacity()
            if room == 0:
                raise ComputingError("the account's quota has no room for another machine of this flavor", Trouble.FULL)
        except ComputingError as error:
            self._held_up(error, turn.now)
            self._decide(self._stopped(error), turn.now)
            return 0
        if room is not None and room < pilots:
            why = f"{self.decision.why}; the account's quota has room for {room}"
            self._decide(replace(self.decision, why=why, pilots=room), turn.now)
            return room
        return pilots

    def _stopped(self, error: ComputingError, told: str = "") -> Decision:
        """The decision, with why nothing more is handed over."""
        assert self._setback  # noqa: S101 - it was set this moment
        cause = Cause(error.trouble.value)
        return replace(self.decision, why=f"{self._setback}{told}", cause=cause, until=self._setback.until)

    async def _submit(self, turn: Turn, pilots: int) -> int:
        """Hand over so many, first those that were tried before. Returns how many were taken."""
        again = turn.again[:pilots]
        handed = await self.submitting.hand_over(again, pilots - len(again))
        await self._refused(handed, turn)
        if handed.trouble and handed.trouble.transient:
            taken = handed.taken
            told = f"; {taken} of {pilots} pilots {'was' if taken == 1 else 'were'} taken"
            self._decide(self._stopped(handed.trouble, told), turn.now)
        elif handed.taken:
            self._setback = None
        return handed.taken

    async def _refused(self, handed: Handed, turn: Turn) -> None:
        for stamp, error in handed.refused:
            row = await self.store.pilot(stamp)
            await self.following.tidying.close(row, PilotState.FAILED, PilotReason.SUBMIT_FAILED, str(error))
        if handed.trouble and handed.trouble.transient:
            self._held_up(handed.trouble, turn.now)


def _end_of(row: PilotRow) -> PilotEnd:
    return PilotEnd(row.ended or row.created, row.reason, row.leases > 0, in_one_line(row.message), row.created)


def in_one_line(message: str) -> str:
    """Of a pilot's message its first line, and the end of what it printed last."""
    told, words_are, words = message.partition(WORDS_ARE)
    told = told.partition("\n")[0][: ONE_LINE // 2 if words_are else ONE_LINE] + words_are
    words, left = " ".join(words.split()), ONE_LINE - len(told)
    return told + (words if len(words) <= left else f"…{words[1 - left :]}")
